import { NonDeterminismError, RunEndedError, type WorkflowCancelledError, type WorkflowTimeoutError } from '../core/errors/index.js';
import type { Attempts } from './attempts.js';
import type { DurabilityGate } from './durability-gate.js';
import type { PassPort, PassRun } from './ports.js';
import type { ResultQueue } from './result-queue.js';
import type { Timers } from './timers.js';

/** Reason why a run is stopped before its code has ended. */
export type StopReason = WorkflowCancelledError | WorkflowTimeoutError;

/** Other objects of the same pass (pass-parts.ts) that this class uses. */
interface Parts {
  readonly run: PassRun;
  readonly port: PassPort;
  readonly timers: Timers;
  readonly alarms: Timers;
  readonly queue: ResultQueue;
  readonly gate: DurabilityGate;
  readonly attempts: Attempts;
}

/**
 * State of one execution of the workflow function (a pass).
 *
 * | State      | Meaning                                                                        |
 * | ---------- | ------------------------------------------------------------------------------ |
 * | `open`     | The workflow function runs: live, replayed or held (durability-gate.ts).       |
 * | `stopping` | A cancellation or timeout has reached the code, which may clean up.            |
 * | `ended`    | The code has ended. Its outcome may still wait for the replay check.           |
 * | `closed`   | The pass was given up. Nothing that its code does has any effect.              |
 *
 * | From             | To       | Method | Cause                                                |
 * | ---------------- | -------- | ------ | ---------------------------------------------------- |
 * | open             | stopping | stop   | the record of a cancellation or timeout is delivered |
 * | open             | stopping | stop   | the run is cancelled, and its code cannot be created |
 * | open or stopping | ended    | end    | `run()` settles, or its time for cleanup is used up  |
 * | any              | closed   | close  | the run is suspended, handed back, lost or restarted |
 * | open or stopping | closed   | reject | the code does not match the recorded history         |
 *
 * Calls have an effect in `open` and `stopping` only. Leaving these two states clears the timers,
 * closes the queues and aborts the bodies.
 */
export class PassState {
  private current: 'open' | 'stopping' | 'ended' | 'closed' = 'open';
  /** Reason why the run was stopped; undefined until the stop has reached the code. */
  stopReason: StopReason | undefined;

  constructor(private readonly parts: Parts) {}

  /** True once the code has ended or the pass was given up: calls have no effect any more. */
  get isClosed(): boolean {
    return this.current === 'ended' || this.current === 'closed';
  }

  /** True when the code has ended and the pass was not given up since. */
  get hasEnded(): boolean {
    return this.current === 'ended';
  }

  /** True when the pass was given up. */
  get isAbandoned(): boolean {
    return this.current === 'closed';
  }

  /** Enters the state `stopping`, when a cancellation or a timeout has reached the code. */
  stop(reason: StopReason): void {
    this.current = 'stopping';
    this.stopReason = reason;
  }

  /** Enters the state `ended`: timers, bodies and calls of the code have no effect any more. */
  end(): void {
    this.current = 'ended';
    this.shutDown(() => this.stopReason ?? new RunEndedError(this.parts.run.id));
  }

  /** Gives the pass up: its calls never settle, and running bodies are aborted with `reason`. */
  close(reason: unknown): void {
    const wasClosed = this.isClosed;
    this.current = 'closed';
    if (!wasClosed) this.shutDown(() => reason);
  }

  /** Gives the pass up because the deployed code does not match the record of a step. */
  reject(stepKey: string, detail: string): void {
    if (this.isClosed) return;
    const error = new NonDeterminismError(this.parts.run.id, stepKey, detail);
    this.close(error);
    this.parts.port.faulted({ kind: 'mismatch', error });
  }

  /** Gives the pass up because a recorded value cannot be decoded. */
  rejectUnreadable(what: string, error: unknown): void {
    this.reject(what, error instanceof Error ? error.message : String(error));
  }

  private shutDown(reason: () => unknown): void {
    const { timers, alarms, queue, gate, attempts } = this.parts;
    timers.clearAll();
    alarms.clearAll();
    queue.close();
    gate.clear();
    attempts.abort(reason);
  }
}
