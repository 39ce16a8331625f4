// The page: enter a name, then be in a room with others.

import "./style.css"; // first: the parts' own styles build on it
import { createRoot } from "react-dom/client";
import { App } from "./App.js";

createRoot(document.getElementById("app") as HTMLElement).render(<App />);
