// JSON values: merge patches, and whether two are the same. Nothing here changes what it is given.

/** The value with a merge patch applied (RFC 7396, section 2). */
export function patched(value: unknown, patch: object): object {
  // A map, since members may be called `__proto__`.
  const members = new Map<string, unknown>(Object.entries(isObject(value) ? value : {}));
  for (const [name, change] of Object.entries(patch)) {
    if (change === null) members.delete(name);
    else members.set(name, isObject(change) ? patched(members.get(name), change) : change);
  }
  return Object.fromEntries(members);
}

/** Whether two JSON values are the same, in whatever order their members are; `undefined` is what is not there. */
export function same(one: unknown, other: unknown): boolean {
  if (one === other) return true;
  if (!isParent(one) || !isParent(other) || Array.isArray(one) !== Array.isArray(other)) return false;
  const names = Object.keys(one);
  const has = (name: string): boolean => Object.hasOwn(other, name) && same(one[name], other[name]);
  return names.length === Object.keys(other).length && names.every(has);
}

/** Make it, and all that is in it, unchangeable: what is handed out is what is kept. */
export function frozen<T>(value: T): T {
  if (isParent(value) && !Object.isFrozen(value)) Object.values(Object.freeze(value)).forEach(frozen);
  return value;
}

function isParent(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null;
}

function isObject(value: unknown): value is object {
  return isParent(value) && !Array.isArray(value);
}
