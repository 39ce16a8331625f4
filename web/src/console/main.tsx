// The console: what is happening now, for admins.

import { createRoot } from "react-dom/client";
import { App } from "./App.js";

const place = document.getElementById("console");
if (place) createRoot(place).render(<App />);
