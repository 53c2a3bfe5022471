import { parseExpression } from './expression.js';
import { parseSpan } from './span.js';

const DAY = 86_400_000;

export interface FailedAttempt {
  /** How many retries there have been: 0 after the first attempt. */
  readonly retried: number;
  /** The message's `Upstash-Retry-Delay`. */
  readonly expression: string | undefined;
  /** The answer's `Retry-After`. */
  readonly retryAfter: string | undefined;
  readonly now: number;
}

/** Milliseconds until the next attempt: what the answer says, else the message's expression, else 12 s, 2m28s, 30m8s ... */
export function retryDelay({ retried, expression, retryAfter, now }: FailedAttempt): number {
  const asked = retryAfter === undefined ? undefined : parseRetryAfter(retryAfter, now);
  if (asked !== undefined) return bounded(asked);
  if (expression !== undefined) return bounded(parseExpression(expression)(retried));
  return bounded(1_000 * Math.exp(2.5 * (retried + 1)));
}

/** Seconds, a date, or a span such as `5m`. */
function parseRetryAfter(text: string, now: number): number | undefined {
  const trimmed = text.trim();
  if (/^\d+(?:\.\d+)?$/.test(trimmed)) return Number(trimmed) * 1_000;
  const span = parseSpan(trimmed);
  if (span !== undefined) return span;
  const date = Date.parse(trimmed);
  return Number.isNaN(date) ? undefined : date - now;
}

/** Within a day, and not in the past. */
function bounded(delay: number): number {
  return Number.isNaN(delay) ? 0 : Math.round(Math.min(DAY, Math.max(0, delay)));
}
