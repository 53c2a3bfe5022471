import type { StepRecord } from '../core/step.js';
import type { Replay } from './replay.js';
import type { Timers } from './timers.js';
import { turns, type TurnTaker } from './turns.js';

/** What a lane drives. */
export interface ResultQueueDelegate {
  /** The first turn: call the workflow function. */
  invoke(): void;
  deliver(record: StepRecord): void;
  /** Nothing is recorded that the code has not seen: what wants to enter may. */
  admit(): void;
  /** A turn is over and nothing is left to deliver. */
  delivered(): void;
  /** The code does not call what is recorded. */
  missed(step: StepRecord): void;
  /** A turn has been asked for. */
  stirred(): void;
}

/** How long a missing call is waited for when the code has made another in its place. */
const ASTRAY_MS = 2_000;

const STALL = '$stall';

/**
 * Lets results into the code one at a time, in the order of `seq`, live and on replay: one per turn (turns.ts). Before one more is delivered, the
 * code must have made every call that it had made at that point when the run was recorded.
 */
export class ResultQueue implements TurnTaker {
  /** How many results have been delivered. */
  count = 0;
  isInTurn = false;
  private isRequested = false;
  private started = false;
  private closed = false;
  /** Last delivery count after which the code made a replayed call without a record. */
  private divergedAt: number | undefined;
  /** Step key of the first such call after that delivery. */
  private divergedKey: string | undefined;

  constructor(
    private readonly records: StepRecord[],
    private readonly replay: Replay,
    private readonly alarms: Timers,
    private readonly stallMs: number,
    private readonly owner: ResultQueueDelegate,
  ) {}

  /** Whether the code is at it, or will be in a moment. */
  get isTurning(): boolean {
    return this.isRequested || this.isInTurn;
  }

  get isEmpty(): boolean {
    return this.records.length === 0;
  }

  has(kind: StepRecord['kind']): boolean {
    return this.records.some((record) => record.kind === kind);
  }

  push(record: StepRecord): void {
    this.records.push(record);
    this.request();
  }

  /** Asks for a turn. */
  request(): void {
    if (this.isRequested || this.closed) return;
    this.isRequested = true;
    turns.request(this);
    this.owner.stirred();
  }

  /** Notes a replayed call without a record: a sign that the code has changed. */
  noteUnrecordedCall(stepKey: string): void {
    if (this.divergedAt === this.count) return;
    this.divergedAt = this.count;
    this.divergedKey = stepKey;
  }

  /** @returns the step key of a call without a record that the code made after so many deliveries */
  unrecordedCallAfter(deliveries: number): string | undefined {
    return this.divergedAt === deliveries ? this.divergedKey : undefined;
  }

  close(): void {
    this.closed = true;
    this.records.length = 0;
  }

  beginTurn(): void {
    this.isRequested = false;
    if (this.closed) return;
    this.isInTurn = true;
    if (!this.started) {
      this.started = true;
      return this.owner.invoke();
    }
    if (this.replay.findMissing(this.count)) return;
    let record = this.records.shift();
    if (!record) {
      this.owner.admit();
      record = this.records.shift();
    }
    if (!record) return;
    this.count++;
    this.owner.deliver(record);
  }

  endTurn(): void {
    if (this.closed) return;
    this.isInTurn = false;
    const missing = this.replay.findMissing(this.count);
    if (missing) return this.await(missing);
    this.alarms.clear(STALL);
    if (this.records.length > 0) this.request();
    else this.owner.delivered();
  }

  /**
   * The call may come out of ordinary I/O that takes longer than it did: a cache that was warm then. Nothing is executed meanwhile. It is not waited for as
   * long when the code has made another call in its place: most likely it was changed.
   */
  private await(missing: StepRecord): void {
    const astray = !this.replay.hasIo && this.divergedAt === missing.calledAfter;
    const patience = astray ? Math.min(ASTRAY_MS, this.stallMs) : this.stallMs;
    this.alarms.set(STALL, this.alarms.now() + patience, () => this.owner.missed(missing));
  }
}
