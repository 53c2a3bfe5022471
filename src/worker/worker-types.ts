import type { OwnedRun } from '../core/run.js';
import type { RunNotices } from '../core/run-notices.js';
import type { LogFields } from '../core/log-fields.js';
import type { AttemptFailure, EngineSettings, PassOutcome } from '../engine/ports.js';

/** What a worker is told by its surroundings. */
export interface WorkerOptions {
  readonly concurrency: number;
  readonly queues: readonly string[];
  readonly suspendAfterMs: number;
  readonly shutdownTimeoutMs: number;
  readonly eagerStart: boolean;
  /** Which runs it takes: all that are due, or those that it is told of by name. */
  readonly takes: 'due' | 'named';
  readonly deploymentId: string;
  /** What becomes of a run whose history the code does not fit. */
  readonly onMismatch: 'block' | 'fail';
  readonly engine: EngineSettings;
}

/** What a worker tells its surroundings. */
export interface WorkerEvents extends RunNotices {
  ended(run: OwnedRun, outcome: PassOutcome): void;
  /** Runs are due again that could not be executed here. Whoever polls finds them. */
  returned(runIds: readonly string[]): void;
  /** An attempt of a step of this run has failed. */
  attemptFailed(run: OwnedRun, failure: AttemptFailure): void;
  log(level: 'warn' | 'error', message: string, error?: unknown, fields?: LogFields): void;
}

/** A slot that a start in this process has taken for the run that it is about to create. */
export interface Reservation {
  /** The run has been created, owned by this process's session. */
  execute(run: OwnedRun): void;
  release(): void;
}
