import type { QStashDeliveryOutcome, QStashDeliveryRecord } from './message.js';

/** Counts since the start, or since `clear()`. */
export interface QStashStats {
  /** Accepted messages, including those of schedules and callbacks. */
  readonly published: number;
  /** Publications that were dropped because their deduplication id was known. */
  readonly deduplicated: number;
  /** Messages delivered and acknowledged. */
  readonly delivered: number;
  /** Failed attempts. */
  readonly failed: number;
  readonly deadLettered: number;
  readonly cancelled: number;
  /** Requests to publish, or members of a batch, that failed because of a fault. */
  readonly rejected: number;
  /** Messages lost because of a fault. */
  readonly lost: number;
  /** Messages delivered twice because of a fault. */
  readonly duplicated: number;
  /** Successful attempts whose answer was dropped because of a fault. */
  readonly unacknowledged: number;
}

type Mutable<T> = { -readonly [Key in keyof T]: T[Key] };

export type OpenDelivery = Mutable<QStashDeliveryRecord>;

/** Records of all deliveries, and all counts. */
export class DeliveryStats {
  private counts = noCounts();
  private records: OpenDelivery[] = [];

  count(what: keyof QStashStats): void {
    this.counts[what] += 1;
  }

  start(record: OpenDelivery): void {
    this.records.push(record);
  }

  end(record: OpenDelivery, outcome: QStashDeliveryOutcome, endedAt: number): void {
    record.outcome = outcome;
    record.endedAt = new Date(endedAt);
    if (outcome === 'failed') this.count('failed');
    if (outcome === 'unacknowledged') this.count('unacknowledged');
  }

  get stats(): QStashStats {
    return { ...this.counts };
  }

  get deliveries(): QStashDeliveryRecord[] {
    return this.records.map((record) => ({ ...record }));
  }

  clear(): void {
    this.counts = noCounts();
    this.records = [];
  }
}

function noCounts(): Mutable<QStashStats> {
  return {
    published: 0,
    deduplicated: 0,
    delivered: 0,
    failed: 0,
    deadLettered: 0,
    cancelled: 0,
    rejected: 0,
    lost: 0,
    duplicated: 0,
    unacknowledged: 0,
  };
}
