import { RunNotRecordedError } from '../core/errors/index.js';
import type { OwnedRun } from '../core/run.js';
import { encodeError } from '../core/serializer/index.js';
import { clearTimeout, setTimeout } from '../core/timers.js';
import type { Committed, RunChange } from '../core/transition.js';
import type { PassOutcome } from '../engine/ports.js';
import { isForbidden } from '../store/database-errors.js';
import type { Journal } from '../store/journal.js';
import { isRefusal, Refusals, type RefusalDelegate } from './refusals.js';
import type { RunRecorder } from './run-recorder.js';

/** Pauses between tries to block a run whose row takes no change at all. */
const FIRST_BLOCK_PAUSE_MS = 5_000;
const LONGEST_BLOCK_PAUSE_MS = 60_000;

/** Stands in for an end whose values cannot be stored. */
const UNSTORABLE = JSON.stringify({ name: 'SerializationError', message: 'the result of the run cannot be stored', code: 'SERIALIZATION' });

/** A change that takes effect only when no message arrived since `wakeCount` was read. */
export type Suspension = RunChange & { readonly wakeCount: number; readonly wakeAt: number | null };

/** The execution whose run is changed. */
export interface RunChangesDelegate extends RefusalDelegate {
  /** True when nothing more of the run is written here but its last change. */
  readonly hasLeft: boolean;
  /** The last change is durable, or the run is no longer this process's. */
  released(outcome: PassOutcome | undefined): void;
  /** The run is due again, for any worker. */
  handedBack(): void;
  /** The database refuses even to block the run. Called once. */
  unwritable(error: RunNotRecordedError): void;
}

/**
 * Submits the changes of a run's row with which the run leaves this process: its suspension, its
 * return, its end. A change that the database refuses is tried again with pauses; after that the
 * run is blocked. Where the database refuses that too, the run stays with this process, holds no
 * slot, and is tried once a minute.
 */
export class RunChanges {
  private readonly refusals: Refusals;
  private blockPauseMs = 0;
  private timer: NodeJS.Timeout | undefined;

  constructor(
    private readonly run: OwnedRun,
    private readonly journal: Journal,
    private readonly recorder: Pick<RunRecorder, 'historyBytes' | 'isReplacing'>,
    private readonly delegate: RunChangesDelegate,
  ) {
    this.refusals = new Refusals(delegate);
  }

  /** Submits a suspension or a pause. */
  suspend(change: Suspension, settled: (outcome: Committed['outcome']) => void, fenced: (error: Error) => void): void {
    this.submit(
      change,
      ({ outcome }) => settled(outcome),
      (error) => {
        if (!isRefusal(error)) fenced(error);
        else if (!this.delegate.hasLeft) this.retry(error, () => this.suspend(change, settled, fenced));
      },
    );
  }

  /** Makes the run due at once, for any worker that claims it. */
  handBack(): void {
    this.change({ status: 'pending' }, undefined);
  }

  /** Makes the run wait for another deployment, or for an operator. */
  block(deploymentId: string, error: Error): void {
    this.change({ status: 'waiting', blockedFor: deploymentId, reason: encodeError(error) }, undefined);
  }

  end(outcome: PassOutcome, leftovers: 'none' | 'some'): void {
    const { parent } = this.run;
    if (outcome.status === 'completed') {
      const { status, output, continuedAs } = outcome;
      return this.change({ status, output, error: null, leftovers, parent, ...(continuedAs ? { continuedAs } : {}) }, outcome);
    }
    const { status, error } = outcome;
    const failure = outcome.status === 'failed' ? { failure: outcome.failure } : {};
    this.change({ status, output: null, error, leftovers, parent, ...failure }, outcome);
  }

  /** Cancels the next try. */
  close(): void {
    clearTimeout(this.timer);
  }

  private change(change: RunChange, outcome: PassOutcome | undefined): void {
    this.submit(
      change,
      () => (change.status === 'pending' ? this.delegate.handedBack() : this.delegate.released(outcome)),
      (error) => this.refused(error, change, outcome),
    );
  }

  private submit(change: RunChange, done: (committed: Committed) => void, failed: (error: Error) => void): void {
    const { id, epoch } = this.run;
    this.journal.submit({ kind: 'change', runId: id, epoch, change, historyBytes: this.recorder.historyBytes }, done, failed);
  }

  /**
   * Replaces an end whose values cannot be stored by a failure that can. Retries a change that a
   * rule of the application refuses.
   */
  private refused(error: Error, change: RunChange, outcome: PassOutcome | undefined): void {
    if (this.recorder.isReplacing && 'output' in change) return;
    if (!isRefusal(error)) return this.delegate.released(undefined);
    const again = (): void => this.change(change, outcome);
    if ('blockedFor' in change) return this.retryBlock(error, again);
    if (isForbidden(error) || !('output' in change) || change.error === UNSTORABLE) return this.retry(error, again);
    this.end({ status: 'failed', error: UNSTORABLE, failure: { code: 'SERIALIZATION', step: null } }, 'some');
  }

  private retry(cause: Error, submit: () => void): void {
    const pauseMs = this.refusals.next(new RunNotRecordedError(this.run.id, { cause }));
    if (pauseMs !== undefined) this.later(pauseMs, submit);
  }

  private retryBlock(cause: Error, submit: () => void): void {
    if (this.blockPauseMs === 0) this.delegate.unwritable(new RunNotRecordedError(this.run.id, { cause }));
    this.blockPauseMs = Math.min(Math.max(this.blockPauseMs * 2, FIRST_BLOCK_PAUSE_MS), LONGEST_BLOCK_PAUSE_MS);
    this.later(this.blockPauseMs, submit);
  }

  private later(pauseMs: number, submit: () => void): void {
    clearTimeout(this.timer);
    this.timer = setTimeout(submit, pauseMs).unref();
  }
}
