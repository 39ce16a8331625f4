// The package as its users have it: what package.json exports, in plain Node.

import { execFileSync, spawnSync } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { runInNewContext } from "node:vm";
import { afterAll, beforeAll, expect, test } from "vitest";

const page = mkdtempSync(join(tmpdir(), "tidewire-"));
const installed = join(page, "node_modules", "tidewire");
const require = createRequire(import.meta.url);

beforeAll(() => {
  execFileSync("node", ["build.js", join(installed, "dist")], { stdio: "inherit" });
  cpSync("package.json", join(installed, "package.json"));
  mkdirSync(join(page, "node_modules", "@types"));
  for (const name of ["react", "@types/react", "csstype"]) {
    symlinkSync(dirname(require.resolve(`${name}/package.json`)), join(page, "node_modules", name));
  }
}, 60_000);
afterAll(() => rmSync(page, { recursive: true }));

/** Run it as a file of that name, beside the package. */
function run(name, code) {
  writeFileSync(join(page, name), code);
  return execFileSync("node", [name], { cwd: page, encoding: "utf8" });
}

/** What is wrong with files beside the package. */
function typeErrors(options, files) {
  const compilerOptions = { target: "es2022", strict: true, noEmit: true, types: [], ...options };
  writeFileSync(join(page, "tsconfig.json"), JSON.stringify({ compilerOptions, files }));
  return spawnSync("npx", ["tsc", "-p", join(page, "tsconfig.json")], { encoding: "utf8" }).stdout;
}

const USE = `
  const make = (Class) => new Class({ httpUrl: "http://server", getToken: async () => "good" });
  console.log([make(all.Tidewire), make(core.Tidewire)].map(({ state }) => state).join());
  console.log(make(all.Tidewire) instanceof Object.getPrototypeOf(all.Tidewire));
  console.log(all.TidewireError === core.TidewireError, Object.getPrototypeOf(all.Channel) === core.Channel);
  console.log(Object.keys(react).sort().join());
`;
const SAID = [
  "idle,idle",
  "true",
  "true true",
  "TidewireProvider,useChannel,useConnection,useDocument,usePresence,useTidewire",
];

test("is imported in Node, with one of each class, and connects to nothing", () => {
  const imports = `
    import * as all from "tidewire";
    import * as core from "tidewire/core";
    import * as react from "tidewire/react";
  `;
  expect(
    run("page.mjs", imports + USE)
      .trim()
      .split("\n"),
  ).toEqual(SAID);
});

test("is required in Node, with one of each class, and connects to nothing", () => {
  const imports = ["all = require('tidewire')", "core = require('tidewire/core')", "react = require('tidewire/react')"];
  expect(run("page.cjs", `const ${imports.join()};${USE}`).trim().split("\n")).toEqual(SAID);
});

test("has types for both", () => {
  const use = `
    const client = new Tidewire({ getToken: async () => "good" });
    const core = new Core({ getToken: async () => "good" });
    const value: number | undefined = client.channel("room:a").document<number>("count").value;
    // @ts-expect-error: the core has no documents
    core.channel("room:a").document("count");
    export const Count = (): string | undefined => useDocument<string>("room:a", "name").value ?? String(value);
  `;
  const imports = `
    import { Tidewire } from "tidewire";
    import { Tidewire as Core } from "tidewire/core";
    import { useDocument } from "tidewire/react";
  `;
  writeFileSync(join(page, "page.mts"), imports + use);
  writeFileSync(join(page, "page.cts"), imports + use);
  expect(typeErrors({ module: "nodenext" }, ["page.mts", "page.cts"])).toBe("");
}, 30_000);

test("does what README says, as far as types tell", () => {
  const examples = [...readFileSync("README.md", "utf8").matchAll(/^```tsx?\n(.*?)^```/gms)].map(([, code]) => code);
  expect(examples.length).toBeGreaterThan(10);
  writeFileSync(join(page, "readme.tsx"), examples.join("\n"));
  const options = { module: "esnext", moduleResolution: "bundler", jsx: "react-jsx" };
  expect(typeErrors(options, ["readme.tsx"])).toBe("");
}, 30_000);

test("has one file for a script tag", () => {
  const window = { console };
  runInNewContext(readFileSync(join(installed, "dist", "tidewire.min.js"), "utf8"), window);
  expect(Object.keys(window.Tidewire).sort()).toEqual(["Channel", "CommandError", "Tidewire", "TidewireError"]);
  expect(new window.Tidewire.Tidewire({ getToken: async () => "good" }).state).toBe("idle");
});

test("has a script for a SharedWorker, that imports nothing", () => {
  const heard = [];
  const script = readFileSync(createRequire(join(page, "page.cjs")).resolve("tidewire/worker"), "utf8");
  runInNewContext(script, { addEventListener: (name) => heard.push(name) });
  expect(heard).toEqual(["connect"]);
});
