import { checkOptions } from '../../core/check-options.js';
import { type Duration, toMilliseconds } from '../../core/duration.js';
import { InvalidInputError } from '../../core/errors/index.js';
import { ApiError, badRequest } from './api-error.js';

/** Limits of a QStash plan. A limit that is not set does not apply, except `parallelism`. */
export interface QStashLimits {
  /**
   * Maximum number of messages per day. Further messages are answered with 429, for which the SDK
   * throws QstashDailyRatelimitError. (default: no limit)
   */
  readonly messagesPerDay?: number;
  /**
   * Maximum number of requests per second. Further requests are answered with 429, for which the
   * SDK throws QstashRatelimitError. (default: no limit)
   */
  readonly requestsPerSecond?: number;
  /** Maximum delay of a message, in milliseconds or as a duration. (default: no limit) */
  readonly delay?: Duration;
  /** Maximum number of bytes in a message's body. (default: no limit) */
  readonly messageBytes?: number;
  /** Maximum number of active deliveries. (default: 100) */
  readonly parallelism?: number;
}

const DAY_MS = 86_400_000;
const SECOND_MS = 1_000;
const COUNTS = ['messagesPerDay', 'requestsPerSecond', 'messageBytes', 'parallelism'] as const;

/** Counts uses in periods of a fixed length. */
class Meter {
  private period = -1;
  private count = 0;

  constructor(private readonly periodMs: number) {}

  usedAt(now: number): number {
    const period = Math.floor(now / this.periodMs);
    if (period !== this.period) [this.period, this.count] = [period, 0];
    return this.count;
  }

  add(amount: number): void {
    this.count += amount;
  }

  /** Time at which the current period ends. */
  get resetsAt(): number {
    return (this.period + 1) * this.periodMs;
  }
}

/** Enforces the limits of a QStash plan. */
export class Quota {
  private limits: QStashLimits = {};
  private maxDelayMs: number | undefined;
  private readonly day = new Meter(DAY_MS);
  private readonly second = new Meter(SECOND_MS);

  constructor(limits: QStashLimits) {
    this.set(limits);
  }

  get parallelism(): number {
    return this.limits.parallelism ?? 100;
  }

  /**
   * Replaces all limits.
   *
   * @throws InvalidInputError that names an invalid limit
   */
  set(value: QStashLimits): void {
    const limits = checkOptions(value, 'limits', ['delay', ...COUNTS]);
    for (const name of COUNTS) {
      const count: unknown = limits[name];
      if (count !== undefined && !(Number.isInteger(count) && (count as number) > 0)) {
        throw new InvalidInputError(`limits.${name}`, 'must be a whole number, 1 or more');
      }
    }
    this.maxDelayMs = limits.delay === undefined ? undefined : toMilliseconds(limits.delay, 'limits.delay');
    this.limits = limits;
  }

  /**
   * Counts one request.
   *
   * @throws ApiError when the limit is exceeded
   */
  request(now: number): void {
    const { requestsPerSecond: limit } = this.limits;
    if (limit !== undefined && this.second.usedAt(now) >= limit) throw tooMany('Burst-RateLimit', limit, this.second.resetsAt);
    this.second.add(1);
  }

  /**
   * Counts further messages. When the limit is exceeded, counts none of them.
   *
   * @throws ApiError when the limit is exceeded
   */
  messages(count: number, now: number): void {
    const { messagesPerDay: limit } = this.limits;
    if (limit !== undefined && this.day.usedAt(now) + count > limit) throw tooMany('RateLimit', limit, this.day.resetsAt);
    this.day.add(count);
  }

  /**
   * Checks the size and the delay of a message.
   *
   * @throws ApiError when a limit is exceeded
   */
  check(message: { readonly body: Uint8Array; readonly delayMs: number }): void {
    if (this.maxDelayMs !== undefined && message.delayMs > this.maxDelayMs) {
      throw badRequest(`the delay of ${message.delayMs / SECOND_MS} s exceeds the plan's maximum of ${this.maxDelayMs / SECOND_MS} s`);
    }
    const { messageBytes } = this.limits;
    if (messageBytes !== undefined && message.body.byteLength > messageBytes) {
      throw new ApiError(413, `the body has ${message.body.byteLength} bytes but at most ${messageBytes} are allowed`);
    }
  }
}

function tooMany(prefix: 'RateLimit' | 'Burst-RateLimit', limit: number, resetsAt: number): ApiError {
  return new ApiError(429, `Exceeded ${prefix}: ${limit}`, {
    [`${prefix}-Limit`]: String(limit),
    [`${prefix}-Remaining`]: '0',
    [`${prefix}-Reset`]: String(resetsAt),
  });
}
