// What somebody comes in by: a token, or an API key.

/** What was pasted; or a token that the stage signs for whoever asks (`dev`). */
export interface Pass {
  readonly kind: "token" | "key" | "dev";
  readonly secret: string;
}

/** Headers that say who asks. */
export type Credentials = Readonly<Record<string, string>>;

export function credentials({ kind, secret }: Pass): Credentials {
  return kind === "key" ? { "X-API-Key": secret } : { Authorization: `Bearer ${secret}` };
}

/** A pasted text as a pass: a token is three parts in base64url. */
export function passOf(pasted: string): Pass {
  const secret = pasted.trim().replace(/^Bearer\s+/i, "");
  return { kind: /^[\w-]+\.[\w-]+\.[\w-]+$/.test(secret) ? "token" : "key", secret };
}

/** Whether a text can be sent as a header: pasted text may be anything. */
export function isSendable(text: string): boolean {
  return /^[\x21-\x7e]+$/.test(text);
}
