// A browser may name its language in a form that is none, such as en-US@posix: uPlot asks Intl for it as it is loaded,
// and no page would come.

try {
  new Intl.NumberFormat(navigator.language);
} catch {
  Object.defineProperty(navigator, "language", { value: "en" });
}
