// Figures, times and sizes as people read them.

const whole = new Intl.NumberFormat("en-GB", { maximumFractionDigits: 0 });
const few = new Intl.NumberFormat("en-GB", { maximumSignificantDigits: 2 });
const one = new Intl.NumberFormat("en-GB", { maximumFractionDigits: 1 });
const cents = new Intl.NumberFormat("en-GB", { minimumFractionDigits: 2, maximumFractionDigits: 2 });
const clock = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit" });
const second = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", second: "2-digit" });
const day = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "long", timeZone: "UTC" });

const MINUTE_S = 60;
const HOUR_S = 3600;
const DAY_S = 86_400;

/** A count, to the last digit. */
export function count(value: number): string {
  return whole.format(value);
}

/** Something per second, or a quantity that may be small: two digits that count. */
export function amount(value: number): string {
  return value >= 10 ? one.format(value) : few.format(value);
}

export function milliseconds(value: number): string {
  return `${value < 10 ? one.format(value) : whole.format(value)} ms`;
}

/** US dollars: cents, and of less than one dollar parts of them. */
export function dollars(value: number): string {
  return value > 0 && value < 1 ? `$${value.toFixed(4)}` : `$${cents.format(value)}`;
}

/** Hour and minute, here. */
export function hourAndMinute(ms: number): string {
  return clock.format(ms);
}

/** To the second, here. */
export function timeOfDay(ms: number): string {
  return second.format(ms);
}

/** Day and month, in UTC, as bills have it. */
export function dayOf(ms: number): string {
  return day.format(ms);
}

/** How long something has been, in its largest unit. */
export function age(ms: number): string {
  const s = Math.max(0, Math.floor(ms / 1000));
  if (s < MINUTE_S) return `${s} s`;
  if (s < HOUR_S) return `${Math.floor(s / MINUTE_S)} min`;
  if (s < DAY_S) return `${Math.floor(s / HOUR_S)} h`;
  return `${Math.floor(s / DAY_S)} d`;
}

/** The beginning of a text that is longer; never half a character of two code units. */
export function beginning(text: string, length: number): string {
  if (text.length <= length) return text;
  const cut = text.slice(0, length);
  return /[\uD800-\uDBFF]$/.test(cut) ? cut.slice(0, -1) : cut;
}
