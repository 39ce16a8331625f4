// People, small: a coloured initial, with a dot for how they are.

import type { CSSProperties } from "react";
import type { Person } from "./presence.js";

export function Avatar({ name }: { readonly name: string }) {
  const style = { "--hue": hue(name) } as CSSProperties;
  return (
    <span className="avatar" style={style} aria-hidden="true">
      {([...name.trim()][0] ?? "?").toUpperCase()}
    </span>
  );
}

type FaceProps = Pick<Person, "name" | "status"> & { readonly idle?: boolean };

export function Face({ name, status, idle = false }: FaceProps) {
  return (
    <span className="face" data-status={status} data-idle={idle}>
      <Avatar name={name} />
      <span className="dot" />
    </span>
  );
}

/** A colour that stays with a name: 0 to 359 degrees. */
export function hue(name: string): number {
  let hash = 2_166_136_261; // FNV-1a: names that differ in one letter are far from each other
  for (const character of name) hash = Math.imul(hash ^ (character.codePointAt(0) as number), 16_777_619) >>> 0;
  return hash % 360;
}
