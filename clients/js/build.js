// Builds the package into dist/, or the folder that is named: ES modules, the same for `require`, one file for a script
// tag, the script of the SharedWorker, and the types.

import { execFileSync } from "node:child_process";
import { readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { build, transform } from "esbuild";
import { target } from "./browsers.js";

const outdir = process.argv[2] ?? "dist";
const options = { outdir, bundle: true, sourcemap: true, target, logLevel: "warning" };

rmSync(outdir, { recursive: true, force: true });

await build({
  ...options,
  entryPoints: ["src/index.ts", "src/core.ts", "src/react.ts"],
  format: "esm",
  splitting: true, // one of each class, wherever it is imported from
  external: ["react"],
});
execFileSync("npx", ["tsc", "-p", ".", "--outDir", outdir], { stdio: "inherit" });

const files = readdirSync(outdir, { recursive: true }).map((name) => join(outdir, name));
for (const file of files.filter((name) => name.endsWith(".d.ts"))) {
  const types = readFileSync(file, "utf8").replace(/"(\..+?)\.js"/g, '"$1.cjs"');
  writeFileSync(file.replace(/ts$/, "cts"), types);
}
for (const file of files.filter((name) => name.endsWith(".js"))) {
  // Bundles of their own would have classes of their own.
  const { code } = await transform(readFileSync(file, "utf8"), { format: "cjs", platform: "node", target });
  writeFileSync(file.replace(/js$/, "cjs"), code.replace(/require\("(\..+?)\.js"\)/g, 'require("$1.cjs")'));
}

// Each in one file, since pages load them by their URLs.
await build({ ...options, entryPoints: { worker: "src/tabs/worker.ts" }, format: "esm", minify: true });
await build({
  ...options,
  entryPoints: { "tidewire.min": "src/index.ts" },
  format: "iife",
  globalName: "Tidewire",
  minify: true,
});
