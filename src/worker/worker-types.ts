import type { OwnedRun } from '../core/run.js';
import type { RunNotices } from '../core/run-notices.js';
import type { LogFields } from '../core/log-fields.js';
import type { AttemptFailure, EngineSettings, PassOutcome } from '../engine/ports.js';

/** Settings of a worker. */
export interface WorkerOptions {
  readonly concurrency: number;
  readonly queues: readonly string[];
  readonly suspendAfterMs: number;
  readonly shutdownTimeoutMs: number;
  readonly eagerStart: boolean;
  /** `due` claims all due runs; `named` claims only runs that a transport names. */
  readonly takes: 'due' | 'named';
  readonly deploymentId: string;
  /** Fate of a run whose history does not fit the code. */
  readonly onMismatch: 'block' | 'fail';
  readonly engine: EngineSettings;
}

/** Events of a worker. */
export interface WorkerEvents extends RunNotices {
  ended(run: OwnedRun, outcome: PassOutcome): void;
  /** Runs that could not be executed here are due again. Processes that poll find them. */
  returned(runIds: readonly string[]): void;
  /** An attempt of a step of this run has failed. */
  attemptFailed(run: OwnedRun, failure: AttemptFailure): void;
  log(level: 'warn' | 'error', message: string, error?: unknown, fields?: LogFields): void;
}

/** A slot that a start in this process reserved for the run that it is about to create. */
export interface Reservation {
  /** The run has been created, owned by this process's session. */
  execute(run: OwnedRun): void;
  release(): void;
}
