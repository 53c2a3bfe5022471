import { checkOptions } from '../../core/check-options.js';
import { type Duration, toMilliseconds } from '../../core/duration.js';
import { InvalidInputError } from '../../core/errors/index.js';
import { ApiError, badRequest } from './api-error.js';

/** What a plan allows. Without a value there is no such limit, but for `parallelism`. */
export interface QStashLimits {
  /** Messages per day: the next ones are answered with 429, which the SDK throws as QstashDailyRatelimitError. */
  readonly messagesPerDay?: number;
  /** Requests per second: the next ones are answered with 429, which the SDK throws as QstashRatelimitError. */
  readonly requestsPerSecond?: number;
  /** The longest delay. */
  readonly delay?: Duration;
  /** The longest body, in bytes. */
  readonly messageBytes?: number;
  /** How many deliveries are under way at a time. 100 unless told. */
  readonly parallelism?: number;
}

const DAY = 86_400_000;
const SECOND = 1_000;
const COUNTS = ['messagesPerDay', 'requestsPerSecond', 'messageBytes', 'parallelism'] as const;

/** How much there has been since a period began. */
class Meter {
  private period = -1;
  private count = 0;

  constructor(private readonly length: number) {}

  usedAt(now: number): number {
    const period = Math.floor(now / this.length);
    if (period !== this.period) [this.period, this.count] = [period, 0];
    return this.count;
  }

  add(amount: number): void {
    this.count += amount;
  }

  /** When the period ends. */
  get resetsAt(): number {
    return (this.period + 1) * this.length;
  }
}

/** Keeps to the limits of a plan. */
export class Quota {
  private limits: QStashLimits = {};
  private longestDelay: number | undefined;
  private readonly day = new Meter(DAY);
  private readonly second = new Meter(SECOND);

  constructor(limits: QStashLimits) {
    this.set(limits);
  }

  get parallelism(): number {
    return this.limits.parallelism ?? 100;
  }

  /** Replaces all limits. @throws InvalidInputError */
  set(value: QStashLimits): void {
    const limits = checkOptions(value, 'limits', ['delay', ...COUNTS]);
    for (const name of COUNTS) {
      const count: unknown = limits[name];
      if (count !== undefined && !(Number.isInteger(count) && (count as number) > 0)) {
        throw new InvalidInputError(`limits.${name}`, 'must be a whole number, 1 or more');
      }
    }
    this.longestDelay = limits.delay === undefined ? undefined : toMilliseconds(limits.delay, 'limits.delay');
    this.limits = limits;
  }

  /** One more request. @throws ApiError */
  request(now: number): void {
    const { requestsPerSecond: limit } = this.limits;
    if (limit !== undefined && this.second.usedAt(now) >= limit) throw tooMany('Burst-RateLimit', limit, this.second.resetsAt);
    this.second.add(1);
  }

  /** Further messages, all or none of them. @throws ApiError */
  messages(count: number, now: number): void {
    const { messagesPerDay: limit } = this.limits;
    if (limit !== undefined && this.day.usedAt(now) + count > limit) throw tooMany('RateLimit', limit, this.day.resetsAt);
    this.day.add(count);
  }

  /** @throws ApiError */
  check(message: { readonly body: Uint8Array; readonly delay: number }): void {
    if (this.longestDelay !== undefined && message.delay > this.longestDelay) {
      throw badRequest(`the delay of ${message.delay / SECOND} s exceeds the plan's maximum of ${this.longestDelay / SECOND} s`);
    }
    const { messageBytes } = this.limits;
    if (messageBytes !== undefined && message.body.byteLength > messageBytes) {
      throw new ApiError(413, `the body has ${message.body.byteLength} bytes and may have ${messageBytes}`);
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
