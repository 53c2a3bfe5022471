// Public types must not need the types of pg, as read-health.ts does.
import { dispatchKeyText, type DispatchKey } from '../../core/run.js';

/** A run whose row the database refuses to change for this process. */
export interface UnwritableHealth {
  runId: string;
  since: Date;
  /** A `RunNotRecordedError`, whose cause is the database's error. */
  error: Error;
}

/** State of this process's worker. */
export interface WorkerHealth {
  /**
   * `running`: claims and executes runs. `fenced`: lost its session and does not have a new one
   * yet. `stopped`: not started yet, closing, or not configured in this process.
   */
  state: 'running' | 'fenced' | 'stopped';
  /** Number of active runs, including runs that only wait and are not suspended yet. */
  runs: number;
  /** Number of runs that the worker executes at a time. */
  slots: number;
  /** Number of slots without a run. */
  freeSlots: number;
  /**
   * First 100 runs whose rows the database refuses to change: a trigger or constraint of the
   * application rejects them. They hold no slot, and other runs continue. Each is retried at least
   * once a minute until the cause is removed.
   */
  unwritable: readonly UnwritableHealth[];
}

/** A process that executes runs. */
export interface SessionHealth {
  id: string;
  host: string;
  pid: number;
  deploymentId: string;
  startedAt: Date;
  heartbeatAt: Date;
  /** True when the session has expired: other processes are about to take over its runs. */
  isExpired: boolean;
}

/** Due runs of one queue, workflow and version. */
export interface DueHealth extends DispatchKey {
  /** Number of the runs; 1,000 stands for 1,000 or more. */
  due: number;
  /** Moment at which the first of the runs became due. */
  oldestDueAt: Date;
}

/** Blocked runs of one queue, workflow and version. */
export interface BlockedHealth extends DispatchKey {
  blocked: number;
  /** Id of one of the runs. */
  exampleRunId: string;
}

/**
 * Due runs of one queue, workflow and version whose workers crashed twice or more while they
 * executed the run.
 */
export interface SuspectHealth extends DispatchKey {
  suspects: number;
  /** Highest number of worker crashes of one of the runs. */
  mostLosses: number;
  /** Id of the run with the most crashes. */
  exampleRunId: string;
}

/** Health of the module, as this process sees it. */
export interface WorkflowHealth {
  /**
   * State of the database and the latency of a lookup. While the database is unreachable, only
   * `worker` and `directConnection` are known.
   */
  database: { isReachable: true; latencyMs: number } | { isReachable: false; error: Error };
  worker: WorkerHealth;
  /**
   * State of the direct connection; undefined when `listen` is false. Without the connection,
   * polling replaces notifications, and other processes notice this process's death only after
   * `sessionTtl`.
   */
  directConnection: { isConnected: true } | { isConnected: false; error: Error | undefined } | undefined;
  sessions: SessionHealth[];
  /**
   * Due runs that no worker has claimed, ordered by queue, workflow and version. Version 0 stands
   * for runs that were started by name.
   */
  backlog: DueHealth[];
  /** Part of the backlog that no live process executes. */
  unregistered: DueHealth[];
  /**
   * Kinds of runs that wait for a time, a message or a child, and that no live process could
   * continue. Where very many runs wait, only some are inspected.
   */
  unregisteredWaiting: DispatchKey[];
  /**
   * Runs that wait for a deployment whose code matches their history; `describe().blocked` has the
   * reason. Up to 1,000 runs are counted.
   */
  blocked: BlockedHealth[];
  /**
   * Due runs that may crash their workers, because two or more workers died while they executed the
   * run. A worker executes such a run apart from others. `backlog`, `unregistered` and
   * `oldestDueAt` do not include them. Up to 1,000 runs are counted.
   */
  suspects: SuspectHealth[];
  /** Moment at which the oldest due run became due; undefined without due runs. */
  oldestDueAt: Date | undefined;
}

/** State of this process's worker, and the kinds of runs that it claims. */
export interface KnownWorker {
  readonly health: WorkerHealth;
  /** Kinds of runs that the worker claims; undefined without a worker. */
  readonly keys: readonly DispatchKey[] | undefined;
}

/** State of this process's direct connection. */
export interface KnownDirectConnection {
  readonly isConnected: boolean;
  /** Reason why the connection cannot be made. */
  readonly error: Error | undefined;
}

/** Selects the kinds of runs that a worker with these keys does not claim. */
export function unregisteredOf<K extends DispatchKey>(kinds: readonly K[], keys: readonly DispatchKey[]): K[] {
  const served = new Set(keys.map(dispatchKeyText));
  return kinds.filter((each) => !served.has(dispatchKeyText(each)));
}
