import { parseExpression } from './expression.js';
import { parseDuration } from './duration.js';

const DAY_MS = 86_400_000;

/** Headers of an answer that can determine the time of the next attempt. */
const RETRY_HEADERS = ['retry-after', 'x-ratelimit-reset', 'x-ratelimit-reset-requests', 'x-ratelimit-reset-tokens'];

export interface FailedAttempt {
  /** Number of retries so far: 0 after the first attempt. */
  readonly retried: number;
  /** Formula in the message's header `Upstash-Retry-Delay`. */
  readonly expression: string | undefined;
  /** Headers of the answer, with names in lower case. */
  readonly headers: Readonly<Record<string, readonly string[] | undefined>>;
  readonly now: number;
}

/**
 * Returns the milliseconds until the next attempt. The answer's headers take precedence over the
 * message's formula. Without headers and formula, the delays are 12 s, 2m28s, 30m8s and so on.
 */
export function retryDelayMs({ retried, expression, headers, now }: FailedAttempt): number {
  for (const name of RETRY_HEADERS) {
    const text = headers[name]?.[0];
    const requestedMs = text === undefined ? undefined : parseRetryAfter(text, now);
    // QStash ignores a header that requests a delay of more than a day.
    if (requestedMs !== undefined && requestedMs <= DAY_MS) return clampDelay(requestedMs);
  }
  if (expression !== undefined) return clampDelay(parseExpression(expression)(retried));
  return clampDelay(1_000 * Math.exp(2.5 * (retried + 1)));
}

/** Parses a number of seconds, a date, or a duration such as `5m`. Returns milliseconds. */
function parseRetryAfter(text: string, now: number): number | undefined {
  const trimmed = text.trim();
  if (/^\d+(?:\.\d+)?$/.test(trimmed)) return Number(trimmed) * 1_000;
  const durationMs = parseDuration(trimmed);
  if (durationMs !== undefined) return durationMs;
  const date = Date.parse(trimmed);
  return Number.isNaN(date) ? undefined : date - now;
}

/** Limits a delay to the range from 0 to one day. */
function clampDelay(delayMs: number): number {
  return Number.isNaN(delayMs) ? 0 : Math.round(Math.min(DAY_MS, Math.max(0, delayMs)));
}
