/** Returns a time in UTC, to the second: `2026-03-01 12:00:05Z`. */
export function shortTime(date: Date): string {
  return date
    .toISOString()
    .replace('T', ' ')
    .replace(/\.\d+Z$/, 'Z');
}

/** Returns a time of day in UTC, to the millisecond, with its date: `2026-03-01 12:00:05.123Z`. */
export function exactTime(date: Date): string {
  return date.toISOString().replace('T', ' ');
}

/** Returns the time between two moments in words: `3m 5s`. */
export function sinceOf(from: Date, to: number): string {
  return duration(to - from.getTime());
}

/** Returns a duration with its two largest units: `120ms`, `1.5s`, `3m 5s`, `2d 4h`. */
export function duration(ms: number): string {
  const whole = Math.max(0, Math.round(ms));
  if (whole < 1_000) return `${whole}ms`;
  if (whole < 60_000) return `${Math.floor(whole / 100) / 10}s`;
  const units = [
    ['d', 86_400_000],
    ['h', 3_600_000],
    ['m', 60_000],
    ['s', 1_000],
  ] as const;
  const first = units.findIndex(([, size]) => whole >= size);
  let rest = whole;
  const parts = units.slice(first, first + 2).map(([unit, size]) => {
    const count = Math.floor(rest / size);
    rest -= count * size;
    return count === 0 ? '' : `${count}${unit}`;
  });
  return parts.filter((part) => part !== '').join(' ');
}
