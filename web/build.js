// Builds the page into dist/: one script, one style sheet, and the files of public/.

import { cpSync, rmSync } from "node:fs";
import { build } from "esbuild";

rmSync("dist", { recursive: true, force: true });
cpSync("public", "dist", { recursive: true });
await build({
  entryPoints: ["src/main.ts", "src/style.css"],
  outdir: "dist",
  bundle: true,
  minify: true,
  sourcemap: true,
  format: "esm",
  target: ["es2022"],
  // The client's sources, so that a build of the page needs no build of the package first.
  alias: { tidewire: "../clients/js/src/index.ts" },
  logLevel: "warning",
});
