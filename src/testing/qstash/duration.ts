import { badRequest } from './api-error.js';

const UNITS: Readonly<Record<string, number>> = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 };

/**
 * Parses a duration in QStash's notation, such as `10s`, `1h30m` or `7d`. Returns milliseconds, or
 * undefined when the text is not a duration.
 */
export function parseDuration(text: string): number | undefined {
  if (!/^(?:\d+(?:\.\d+)?(?:ms|s|m|h|d))+$/.test(text)) return undefined;
  let total = 0;
  for (const [, amount, unit] of text.matchAll(/(\d+(?:\.\d+)?)(ms|s|m|h|d)/g)) total += Number(amount) * UNITS[unit!]!;
  return Math.round(total);
}

/**
 * Parses a duration in a request's header. Returns milliseconds.
 *
 * @throws ApiError when the text is not a duration
 */
export function durationOfHeader(name: string, text: string): number {
  const duration = parseDuration(text.trim());
  if (duration === undefined) throw badRequest(`${name} is not a duration: ${text}`);
  return duration;
}
