// The document, as the other modules use it. What people typed comes in as text, never as markup.

/** The element of index.html with that id. */
export function get<T extends HTMLElement>(id: string): T {
  return document.getElementById(id) as T;
}

/** A new element. */
export function element(tag: string, className: string, text = ""): HTMLElement {
  const made = document.createElement(tag);
  made.className = className;
  made.textContent = text;
  return made;
}

/** Make these the children, and leave in place those that are: a screen reader tells only of the new ones. */
export function setChildren(parent: HTMLElement, children: readonly HTMLElement[]): void {
  const wanted = new Set<Element>(children);
  for (const child of [...parent.children]) if (!wanted.has(child)) child.remove();
  children.forEach((child, index) => {
    if (parent.children[index] !== child) parent.insertBefore(child, parent.children[index] ?? null);
  });
}
