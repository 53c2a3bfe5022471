/** Milliseconds that the clock of the database is ahead of this browser's clock. */
let ahead = 0;

/** Notes the time of the database's clock. */
export function noteClock(databaseTime: string): void {
  ahead = Date.parse(databaseTime) - Date.now();
}

/** Returns the time of the database's clock, in milliseconds since 1970. */
export function now(): number {
  return Date.now() + ahead;
}

const UNITS: readonly (readonly [ms: number, name: string])[] = [
  [86_400_000, 'd'],
  [3_600_000, 'h'],
  [60_000, 'min'],
  [1_000, 's'],
];

/** Formats a length of time: `340 ms`, `2.4 s`, `3 min 12 s`, `4 d 2 h`. */
export function duration(ms: number): string {
  const whole = Math.max(0, Math.round(ms));
  if (whole < 1_000) return `${whole} ms`;
  if (whole < 10_000) return `${(whole / 1_000).toFixed(1)} s`;
  const at = UNITS.findIndex(([unit]) => whole >= unit);
  const [unit, name] = UNITS[at]!;
  const next = UNITS[at + 1];
  const count = Math.floor(whole / unit);
  const rest = next === undefined ? 0 : Math.floor((whole - count * unit) / next[0]);
  return rest === 0 ? `${count} ${name}` : `${count} ${name} ${rest} ${next![1]}`;
}

/** Formats a time relative to now: `12 s ago`, `in 3 h`. */
export function relative(ms: number, at = now()): string {
  const distance = at - ms;
  if (Math.abs(distance) < 1_000) return 'now';
  return distance > 0 ? `${coarse(distance)} ago` : `in ${coarse(-distance)}`;
}

function coarse(ms: number): string {
  const [unit, name] = UNITS.find(([each]) => ms >= each) ?? UNITS.at(-1)!;
  return `${Math.floor(ms / unit)} ${name}`;
}

/** Formats a time in the time zone of the reader, with milliseconds. */
export function absolute(text: string): string {
  const date = new Date(text);
  const part = (value: number, length = 2): string => String(value).padStart(length, '0');
  const day = `${date.getFullYear()}-${part(date.getMonth() + 1)}-${part(date.getDate())}`;
  return `${day} ${part(date.getHours())}:${part(date.getMinutes())}:${part(date.getSeconds())}.${part(date.getMilliseconds(), 3)}`;
}
