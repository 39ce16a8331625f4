/** How many bytes a text has on the wire: in UTF-8. */
export function size(text: string): number {
  return new TextEncoder().encode(text).length;
}
