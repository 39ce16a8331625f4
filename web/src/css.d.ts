// Styles are imported where they belong; esbuild puts them into the page's own sheet.
declare module "*.css";
