import type { DispatchKey, OwnedRun } from '../core/run.js';
import type { RunNotices } from '../core/run-notices.js';
import type { HookSchemas } from '../core/hook-schemas.js';
import type { Payloads } from '../core/payloads.js';
import type { Database } from '../store/database.js';
import type { Journal } from '../store/journal.js';
import type { RunNotifier } from '../store/run-notifier.js';
import type { AmbientManager } from './transactions/caller-transactions.js';
import type { DeadLetterStore } from './dead-letters.js';
import type { KnownDirectConnection, KnownWorker } from './queries/health.js';
import type { ResultHub } from './result-hub.js';

/** What a client needs of the rest of the module. */
export interface ClientDependencies extends RunNotices {
  readonly database: Database;
  readonly journal: Journal;
  readonly hub: ResultHub;
  readonly payloads: Payloads;
  readonly deploymentId: string;
  /** The name of the module; undefined for the one without. */
  readonly module: string | undefined;
  /** Of runs whose workflow has no timeout of its own; null for none. */
  readonly runTimeoutMs: number | null;
  /** The schemas of hooks that passes of this process have made. */
  readonly hookSchemas: HookSchemas;
  readonly currentTransaction: AmbientManager | undefined;
  /** A slot of this process's worker for a run that is about to be created, if it has one. */
  reserve(key: DispatchKey): { execute(run: OwnedRun): void; release(): void } | undefined;
  /** Notifies runs of what has come for them. */
  readonly notifier: RunNotifier;
  /** Where messages are that a transport has given up on. */
  readonly deadLetters: DeadLetterStore | undefined;
  /** The direct connection; undefined where the module has none. */
  direct(): KnownDirectConnection | undefined;
  /** What the worker of this process does. */
  worker(): KnownWorker;
  /** Milliseconds since the epoch, by the database's clock. */
  now(): number;
}
