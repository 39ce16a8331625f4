// A colour that stays with a name.

/** 0 to 359 degrees. */
export function hue(name: string): number {
  let hash = 7;
  for (const character of name) hash = (hash * 31 + (character.codePointAt(0) ?? 0)) % 3600;
  return hash % 360;
}
