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

/**
 * Milliseconds before the first retry to block a run whose row the database refuses to change. Each
 * further pause is twice as long.
 */
const FIRST_BLOCK_PAUSE_MS = 5_000;
const MAX_BLOCK_PAUSE_MS = 60_000;

/** Error to record for a run whose result or error cannot be stored. */
const UNSTORABLE = JSON.stringify({ name: 'SerializationError', message: 'the result of the run cannot be stored', code: 'SERIALIZATION' });

/** A change that takes effect only if no message has arrived since `wakeCount` was read. */
export type Suspension = RunChange & { readonly wakeCount: number; readonly wakeAt: number | null };

/** The execution whose run is changed. */
export interface RunChangesDelegate extends RefusalDelegate {
  /** True when this process writes nothing more of the run except the run's last change. */
  readonly hasLeft: boolean;
  /** Called when the last change is durable, or when this process no longer owns the run. */
  released(outcome: PassOutcome | undefined): void;
  /** Called when the run is due again and any worker may claim it. */
  handedBack(): void;
  /** Called once, when the database refuses even the change that blocks the run. */
  unwritable(error: RunNotRecordedError): void;
}

/**
 * Submits the changes of a run's row with which the run leaves this process: suspension, handing
 * back, end. A change that the database refuses is retried a few times, and then the run is
 * blocked. If the database refuses to block the run too, the run stays with this process without a
 * slot. Blocking is then retried, at first after 5 s and later once a minute.
 */
export class RunChanges {
  private readonly refusals: Refusals;
  private blockPauseMs = 0;
  private timer: NodeJS.Timeout | undefined;

  constructor(
    private readonly run: OwnedRun,
    private readonly journal: Journal,
    private readonly recorder: Pick<RunRecorder, 'historyBytes' | 'isReplacing' | 'submitChunks' | 'hasReceivedEvents'>,
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

  /**
   * Makes the run due at once, so that any worker may claim it.
   *
   * @param place place in the order of claims: behind all due runs, or the place that the run had
   *   when this process claimed it
   */
  handBack(place: 'last' | 'as before'): void {
    const { dueSince } = this.run;
    const keeps = place === 'as before' && dueSince !== undefined;
    this.change(keeps ? { status: 'pending', dueSince } : { status: 'pending' }, undefined);
  }

  /** Blocks the run until another deployment claims it, or an operator resumes it. */
  block(deploymentId: string, error: Error): void {
    this.change({ status: 'waiting', blockedFor: deploymentId, reason: encodeError(error) }, undefined);
  }

  end(outcome: PassOutcome, leftovers: 'none' | 'some'): void {
    const { parent } = this.run;
    if (outcome.status === 'completed') {
      const { status, output, continuedAs } = outcome;
      const received = this.recorder.hasReceivedEvents ? { hasReceivedEvents: true as const } : {};
      return this.change({ status, output, error: null, leftovers, parent, ...(continuedAs ? { continuedAs, ...received } : {}) }, outcome);
    }
    const { status, error } = outcome;
    const failure = outcome.status === 'failed' ? { failure: outcome.failure } : {};
    this.change({ status, output: null, error, leftovers, parent, ...failure }, outcome);
  }

  /** Cancels the next retry. */
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
    this.recorder.submitChunks();
    this.journal.submit({ kind: 'change', runId: id, epoch, change, historyBytes: this.recorder.historyBytes }, done, failed);
  }

  /**
   * Handles a refused change. If the output or error of the run cannot be stored, ends the run with
   * a failure that can be stored. If a rule of the application, such as a trigger, forbids the
   * change, retries the change.
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
    this.blockPauseMs = Math.min(Math.max(this.blockPauseMs * 2, FIRST_BLOCK_PAUSE_MS), MAX_BLOCK_PAUSE_MS);
    this.later(this.blockPauseMs, submit);
  }

  private later(pauseMs: number, submit: () => void): void {
    clearTimeout(this.timer);
    this.timer = setTimeout(submit, pauseMs).unref();
  }
}
