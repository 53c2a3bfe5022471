import type { StepRecord } from '../core/step.js';
import type { Replay } from './replay.js';
import type { Timers } from './timers.js';
import { turns, type TurnDelegate } from './turns.js';

/** Receives the results and the notifications of a result queue. */
export interface ResultQueueDelegate {
  /** Calls the workflow function, in the first turn. */
  invoke(): void;
  deliver(record: StepRecord): void;
  /** Lets an event from outside enter the pass. Called when no result waits for delivery. */
  admit(): void;
  /** Called after a turn when nothing is left to deliver. */
  delivered(): void;
  /** Called when the code does not make a recorded call. */
  missed(step: StepRecord): void;
  /** Called when a turn was requested. */
  stirred(): void;
}

/**
 * Milliseconds that the queue waits for a recorded call after the code has made another call
 * instead.
 */
const DIVERGED_MS = 2_000;

/**
 * Number of timers into which the wait for a recorded call is divided. A process that stands still
 * for a while, as on a suspended machine, uses up only one of them.
 */
const STALL_PARTS = 10;

const STALL = '$stall';

/**
 * Delivers results to the code in the order of their numbers (`seq`), new and replayed results
 * alike, one per turn (turns.ts). Before the queue delivers the next result, it waits until the
 * code has repeated every call that was recorded before that result.
 */
export class ResultQueue implements TurnDelegate {
  /** Number of delivered results. */
  count = 0;
  isInTurn = false;
  private isRequested = false;
  private started = false;
  private closed = false;
  /**
   * Number of results that had been delivered when the replayed code last made a call without a
   * record.
   */
  private divergedAt: number | undefined;
  /** Step key of the first call without a record after `divergedAt` results. */
  private divergedKey: string | undefined;

  constructor(
    private readonly records: StepRecord[],
    private readonly replay: Replay,
    private readonly alarms: Timers,
    private readonly stallMs: number,
    private readonly delegate: ResultQueueDelegate,
  ) {}

  /** True when a turn is running or was requested. */
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

  /** Requests a turn. */
  request(): void {
    if (this.isRequested || this.closed) return;
    this.isRequested = true;
    turns.request(this);
    this.delegate.stirred();
  }

  /** Remembers a call of the replayed code that has no record: a sign that the code has changed. */
  noteUnrecordedCall(stepKey: string): void {
    if (this.divergedAt === this.count) return;
    this.divergedAt = this.count;
    this.divergedKey = stepKey;
  }

  /**
   * Returns the step key of a call without a record that the code made after `deliveries` results;
   * undefined when there was no such call.
   */
  unrecordedCallAfter(deliveries: number): string | undefined {
    return this.divergedAt === deliveries ? this.divergedKey : undefined;
  }

  close(): void {
    this.closed = true;
    this.alarms.clear(STALL);
    this.records.length = 0;
  }

  beginTurn(): void {
    this.isRequested = false;
    if (this.closed) return;
    this.isInTurn = true;
    if (!this.started) {
      this.started = true;
      return this.delegate.invoke();
    }
    if (this.replay.findMissing(this.count)) return;
    let record = this.records.shift();
    if (!record) {
      this.delegate.admit();
      record = this.records.shift();
    }
    if (!record) return;
    this.count++;
    this.delegate.deliver(record);
  }

  endTurn(): void {
    if (this.closed) return;
    this.isInTurn = false;
    const missing = this.replay.findMissing(this.count);
    if (missing) return this.await(missing);
    this.alarms.clear(STALL);
    if (this.records.length > 0) this.request();
    else this.delegate.delivered();
  }

  /**
   * Waits for a recorded call that the code has not made yet. The code may first do ordinary I/O
   * that takes longer than it did when the run was recorded, such as filling a cold cache. The wait
   * is shorter when the code has made another call instead, because then the code was most likely
   * changed.
   */
  private await(missing: StepRecord): void {
    const hasDiverged = !this.replay.hasIo && this.divergedAt === missing.calledAfter;
    const waitMs = hasDiverged ? Math.min(DIVERGED_MS, this.stallMs) : this.stallMs;
    this.awaitParts(missing, waitMs, Math.ceil(waitMs / STALL_PARTS));
  }

  private awaitParts(missing: StepRecord, leftMs: number, partMs: number): void {
    this.alarms.set(STALL, this.alarms.now() + Math.min(leftMs, partMs), () => {
      if (leftMs > partMs) this.awaitParts(missing, leftMs - partMs, partMs);
      else this.delegate.missed(missing);
    });
  }
}
