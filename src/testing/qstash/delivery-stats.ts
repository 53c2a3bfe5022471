import type { QStashDeliveryOutcome, QStashDeliveryRecord } from './message.js';

/** Counts since the start of the emulator, or since the last `clear()`. */
export interface QStashStats {
  /** Number of accepted messages, including the messages of schedules and callbacks. */
  readonly published: number;
  /** Number of publications that were dropped because their deduplication id was already in use. */
  readonly deduplicated: number;
  /** Number of messages that were delivered and acknowledged. */
  readonly delivered: number;
  /** Number of failed attempts to deliver a message. */
  readonly failed: number;
  /** Number of messages that became dead letters. */
  readonly deadLettered: number;
  /** Number of messages that were cancelled. */
  readonly cancelled: number;
  /** Number of requests to publish, or members of a batch, that were refused because of a fault. */
  readonly rejected: number;
  /** Number of messages that were lost because of a fault. */
  readonly lost: number;
  /** Number of messages that were delivered twice because of a fault. */
  readonly duplicated: number;
  /** Number of successful attempts whose answer was dropped because of a fault. */
  readonly unacknowledged: number;
}

type Mutable<T> = { -readonly [Key in keyof T]: T[Key] };

export type OpenDelivery = Mutable<QStashDeliveryRecord>;

/** Records of all attempts to deliver, and counts of all events. */
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
