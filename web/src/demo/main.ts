// The page: enter a name, then talk.

import { get } from "./dom.js";
import { Page } from "./page.js";
import { guestToken, enter, lastName } from "./session.js";

function begin(event: Event): void {
  event.preventDefault();
  const name = get<HTMLInputElement>("name").value.trim();
  get("name-error").textContent = name ? "" : "Please give a name.";
  if (!name) return;
  get("enter").remove();
  get("chat").hidden = false;
  const userId = enter(name);
  new Page(name, userId, () => guestToken(userId));
}

get<HTMLInputElement>("name").value = lastName();
get("name").focus();
get("enter-form").addEventListener("submit", begin);
