import { parseExpression } from './expression.js';
import { parseDuration } from './duration.js';

const DAY = 86_400_000;

/** Headers by which an answer says when to try again. */
const ASKING = ['retry-after', 'x-ratelimit-reset', 'x-ratelimit-reset-requests', 'x-ratelimit-reset-tokens'];

export interface FailedAttempt {
  /** How many retries there have been: 0 after the first attempt. */
  readonly retried: number;
  /** The message's `Upstash-Retry-Delay`. */
  readonly expression: string | undefined;
  /** The answer's headers, with names in lower case. */
  readonly headers: Readonly<Record<string, readonly string[] | undefined>>;
  readonly now: number;
}

/** Milliseconds until the next attempt: what the answer says, else the message's expression, else 12 s, 2m28s, 30m8s ... */
export function retryDelay({ retried, expression, headers, now }: FailedAttempt): number {
  for (const name of ASKING) {
    const text = headers[name]?.[0];
    const asked = text === undefined ? undefined : parseRetryAfter(text, now);
    // One that asks for more than a day is not followed.
    if (asked !== undefined && asked <= DAY) return bounded(asked);
  }
  if (expression !== undefined) return bounded(parseExpression(expression)(retried));
  return bounded(1_000 * Math.exp(2.5 * (retried + 1)));
}

/** Seconds, a date, or a span such as `5m`. */
function parseRetryAfter(text: string, now: number): number | undefined {
  const trimmed = text.trim();
  if (/^\d+(?:\.\d+)?$/.test(trimmed)) return Number(trimmed) * 1_000;
  const span = parseDuration(trimmed);
  if (span !== undefined) return span;
  const date = Date.parse(trimmed);
  return Number.isNaN(date) ? undefined : date - now;
}

/** Within a day, and not in the past. */
function bounded(delay: number): number {
  return Number.isNaN(delay) ? 0 : Math.round(Math.min(DAY, Math.max(0, delay)));
}
