import type { QStashDeliveryOutcome, QStashDeliveryRecord } from './message.js';

/** How often what happened since the start, or since `clear()`. */
export interface QStashStats {
  /** Messages accepted, those of schedules and callbacks among them. */
  readonly published: number;
  /** Publications that were swallowed because their id was known. */
  readonly deduplicated: number;
  /** Messages delivered and acknowledged. */
  readonly delivered: number;
  /** Attempts that failed. */
  readonly failed: number;
  readonly deadLettered: number;
  readonly cancelled: number;
  /** Requests to publish, or members of a batch, that a fault made fail. */
  readonly rejected: number;
  /** Messages that a fault lost. */
  readonly lost: number;
  /** Messages that a fault delivers twice. */
  readonly duplicated: number;
  /** Attempts that succeeded and whose answer a fault threw away. */
  readonly unacknowledged: number;
}

type Mutable<T> = { -readonly [Key in keyof T]: T[Key] };

export type OpenDelivery = Mutable<QStashDeliveryRecord>;

/** What was delivered, and the counts of everything. */
export class DeliveryStats {
  private counts = noCounts();
  private records: OpenDelivery[] = [];

  count(what: keyof QStashStats): void {
    this.counts[what] += 1;
  }

  begin(record: OpenDelivery): void {
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
