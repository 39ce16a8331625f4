// What the client weighs in a page, beside others that are bundled the same way. Fails when it weighs too much.

import { readFileSync } from "node:fs";
import { gzipSync } from "node:zlib";
import { build } from "esbuild";
import { target } from "./browsers.js";

const OURS = [
  { name: "tidewire/core: connection, channels, every transport", module: "src/core.ts", maxBytes: 10_240 },
  { name: "tidewire: everything", module: "src/index.ts", maxBytes: 20_480 },
  { name: "tidewire/react: the hooks, without React", module: "src/react.ts" },
  { name: "tidewire/worker: a file of its own, not in the page", module: "src/tabs/worker.ts" },
];
const { devDependencies } = JSON.parse(readFileSync("package.json", "utf8"));
const OTHERS = ["socket.io-client", "pusher-js", "centrifuge", "ably"].map((module) => ({
  name: `${module} ${devDependencies[module]}`,
  module,
}));

/** All that a module exports: bundled, minified, compressed. */
async function sized({ name, module, maxBytes = Infinity }) {
  const { outputFiles } = await build({
    entryPoints: [module],
    bundle: true,
    minify: true,
    format: "esm",
    target,
    external: ["react"],
    write: false,
    logLevel: "warning",
  });
  const { contents } = outputFiles[0];
  return { name, minified: contents.length, compressed: gzipSync(contents, { level: 9 }).length, maxBytes };
}

const bytes = (number) => number.toLocaleString("en");

const sizes = await Promise.all([...OURS, ...OTHERS].map(sized));
const width = Math.max(...sizes.map(({ name }) => name.length));
console.log(`| ${"bytes".padEnd(width)} | minified | gzip -9 |`);
console.log(`|${"-".repeat(width + 2)}|---------:|--------:|`);
for (const { name, minified, compressed, maxBytes } of sizes) {
  console.log(`| ${name.padEnd(width)} | ${bytes(minified).padStart(8)} | ${bytes(compressed).padStart(7)} |`);
  if (compressed <= maxBytes) continue;
  console.error(`${name}: ${bytes(maxBytes)} bytes are the most that it may have`);
  process.exitCode = 1;
}
