// Who is using this window: a name kept in the browser, and a user id of the window's own.

const NAME_KEY = "tidewire.name";
const USER_KEY = "tidewire.user";
const TOKEN_TIMEOUT_MS = 10_000;
const RELOAD_MS = 500;

/** The name that was used here last, or "". */
export function lastName(): string {
  return localStorage.getItem(NAME_KEY) ?? "";
}

/** Remember the name; return this window's user id. Two windows are two users, so that one person can try it out. */
export async function enter(name: string): Promise<string> {
  localStorage.setItem(NAME_KEY, name);
  const known = sessionStorage.getItem(USER_KEY);
  if (known && (await hold(known))) return known;
  // With the name's readable part, for who looks into logs.
  const readable = name.replace(/[^A-Za-z0-9]+/g, "-").slice(0, 20);
  const userId = `guest.${readable}~${crypto.getRandomValues(new Uint32Array(1))[0]?.toString(36)}`;
  sessionStorage.setItem(USER_KEY, userId);
  await hold(userId);
  return userId;
}

/** Have a user id until the page goes. False: another window has it, of which the browser has made this one a copy. */
function hold(userId: string): Promise<boolean> {
  // After a reload the page from before may have it for a moment.
  const options = { signal: AbortSignal.timeout(RELOAD_MS) };
  return new Promise((resolve) => {
    const had = (): Promise<never> => (resolve(true), new Promise(() => undefined));
    navigator.locks.request(`tidewire.demo ${userId}`, options, had).catch(() => resolve(false));
  });
}

/** A guest's token, each time a new one. An application asks its own backend here. */
export async function guestToken(userId: string, fetcher: typeof fetch): Promise<string> {
  const response = await fetcher("/v1/demo/token", {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ user_id: userId }),
    signal: AbortSignal.timeout(TOKEN_TIMEOUT_MS),
  });
  if (!response.ok) throw new Error(`POST /v1/demo/token answered ${response.status}`);
  return ((await response.json()) as { token: string }).token;
}
