// Builds the pages into dist/: a folder each, with its HTML, script and styles; and what they share.

import { cpSync, rmSync } from "node:fs";
import { build } from "esbuild";

const client = "../clients/js/src/";

rmSync("dist", { recursive: true, force: true });
cpSync("public", "dist", { recursive: true });
await build({
  entryPoints: ["src/demo/main.tsx", "src/console/main.tsx", "src/console/style.css"],
  outdir: "dist",
  outbase: "src",
  chunkNames: "parts/[name]-[hash]",
  bundle: true,
  splitting: true,
  minify: true,
  sourcemap: true,
  format: "esm",
  jsx: "automatic",
  target: ["es2022"],
  define: { "process.env.NODE_ENV": '"production"' },
  // The client's sources, so that a build of the pages needs no build of the package first.
  alias: { tidewire: `${client}index.ts`, "tidewire/react": `${client}react.ts` },
  logLevel: "warning",
});
