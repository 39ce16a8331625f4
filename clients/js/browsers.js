// The browsers that the package is for, as package.json lists them, in esbuild's words.

import { readFileSync } from "node:fs";

const { browserslist } = JSON.parse(readFileSync(new URL("package.json", import.meta.url), "utf8"));

export const target = browserslist.map((browser) => browser.replace(" >= ", ""));
