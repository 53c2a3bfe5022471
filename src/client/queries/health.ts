// These types are public, and an application may compile them without the types of pg. An import
// from read-health.ts would need the types of pg.
import { dispatchKeyText, type DispatchKey } from '../../core/run.js';

/** A run that the database refuses to change for this process. */
export interface UnwritableHealth {
  /** Id of the run. */
  runId: string;
  /** Moment of the first refusal. */
  since: Date;
  /** A `RunNotRecordedError`, whose cause is the database's error. */
  error: Error;
}

/** State of this process's worker. */
export interface WorkerHealth {
  /**
   * `running`: the worker claims and executes runs. `fenced`: it has lost its session and has no
   * new one yet. `stopped`: it has not started, is closing, or is not configured in this process.
   */
  state: 'running' | 'fenced' | 'stopped';
  /**
   * Number of runs that the worker holds, including runs that only wait and are not suspended yet.
   */
  runs: number;
  /** Number of runs that may execute step bodies at the same time. `runs` may be higher. */
  slots: number;
  /** Number of slots in which no step body is executed. */
  freeSlots: number;
  /**
   * First 100 runs that the database refuses to change, for example because of the application's
   * trigger or constraint. They occupy no slot, and other runs continue. The worker tries each of
   * them at least once a minute until the cause is removed.
   */
  unwritable: readonly UnwritableHealth[];
}

/** A process that executes runs. */
export interface SessionHealth {
  /** Id of the session. */
  id: string;
  /** Host name of the process. */
  host: string;
  /** Process id. */
  pid: number;
  /** Id of the deployment that the process executes. */
  deploymentId: string;
  /** Moment at which the session began. */
  startedAt: Date;
  /** Moment of the last heartbeat. */
  heartbeatAt: Date;
  /** True when the session has expired. Other processes are about to take over its runs. */
  isExpired: boolean;
}

/** Due runs that have the same queue, workflow and version. */
export interface DueHealth extends DispatchKey {
  /** Number of these runs. 1,000 stands for 1,000 or more. */
  due: number;
  /** Moment at which the first of these runs became due. */
  oldestDueAt: Date;
}

/** Blocked runs that have the same queue, workflow and version. */
export interface BlockedHealth extends DispatchKey {
  /** Number of these runs. */
  blocked: number;
  /** Id of one of these runs. */
  exampleRunId: string;
}

/**
 * Due runs that have the same queue, workflow and version. Two or more workers crashed while they
 * executed each of these runs.
 */
export interface SuspectHealth extends DispatchKey {
  /** Number of these runs. */
  suspects: number;
  /** Number of worker crashes of the run with the most crashes. */
  mostLosses: number;
  /** Id of the run with the most crashes. */
  exampleRunId: string;
}

/** Emitted events that have not reached all their receivers. */
export interface UndispatchedHealth {
  /** Number of these events. 1,000 stands for 1,000 or more. */
  events: number;
  /** Moment of the oldest emit. Undefined when no event waits. */
  oldestEmittedAt: Date | undefined;
}

/** Schedules that do not get on. */
export interface SchedulesHealth {
  /**
   * Number of schedules that are due and that no process has executed yet. A few for a moment are
   * normal. 1,000 stands for 1,000 or more.
   */
  overdue: number;
  /** Due time of the schedule that has waited longest. Undefined when no schedule is due. */
  overdueSince: Date | undefined;
  /** Number of schedules whose last try to start a run failed. `list` shows `lastError`. */
  failing: number;
}

/** Runs of a queue with limits. */
export interface QueueHealth {
  /** Name of the queue. */
  queue: string;
  /** Number of due runs that wait for a place, counted up to 10,000. */
  waiting: number;
  /** Time since which the oldest of these runs has been due. Undefined when no run waits. */
  oldestSince: Date | undefined;
  /** Number of runs that have a place, counted up to 10,000. */
  places: number;
  /** True when the queue is paused: it admits no run. */
  paused: boolean;
}

/** State of the read replica, as this process sees it. */
export type ReplicaHealth =
  | {
      /** True while queries use the replica. */
      isInUse: true;
      /**
       * Bytes of WAL that the replica has not replayed. Undefined while the primary does not
       * answer.
       */
      lagBytes: number | undefined;
      /**
       * Milliseconds since the last commit that the replica has replayed, by the clock of the
       * primary; 0 when the replica has replayed everything. Undefined while the primary does not
       * answer.
       */
      lagMs: number | undefined;
    }
  | {
      isInUse: false;
      /** Reason why the primary answers all queries: the replica is away, or is no replica. */
      error: Error;
    };

/** Health of the module, as this process sees it. */
export interface WorkflowHealth {
  /**
   * State of the database, and the milliseconds that a lookup took. When the database is
   * unreachable, only `worker` and `directConnection` are known.
   */
  database: { isReachable: true; latencyMs: number } | { isReachable: false; error: Error };
  /** State of this process's worker. */
  worker: WorkerHealth;
  /**
   * State of the direct connection. Undefined when `listen` is false. While this connection is not
   * connected, polling replaces notifications, and other processes notice this process's death only
   * after `sessionTtl`.
   */
  directConnection: { isConnected: true } | { isConnected: false; error: Error | undefined } | undefined;
  /** State of the read replica. Undefined when `readReplica` is not set. */
  readReplica: ReplicaHealth | undefined;
  /** Processes that execute runs. */
  sessions: SessionHealth[];
  /**
   * Due runs that no worker has claimed, ordered by queue, workflow and version. Version 0 stands
   * for runs that were started by name.
   */
  backlog: DueHealth[];
  /** Part of the backlog that no living process can execute. */
  unregistered: DueHealth[];
  /**
   * Kinds (queue, workflow and version) of runs that wait for a time, a message or a child, and
   * that no living process could continue. When very many runs wait, only some of them are
   * inspected.
   */
  unregisteredWaiting: DispatchKey[];
  /**
   * Runs that wait for a deployment whose code matches their history. `describe().blocked` returns
   * the reason. At most 1,000 runs are counted.
   */
  blocked: BlockedHealth[];
  /**
   * Due runs that may crash their workers, because two or more workers died while they executed the
   * run. A worker executes such a run separately from others. `backlog`, `unregistered` and
   * `oldestDueAt` do not include these runs. At most 1,000 runs are counted.
   */
  suspects: SuspectHealth[];
  /** Emitted events that have not reached all their receivers (docs/events.md). */
  undispatched: UndispatchedHealth;
  /** Schedules that are due or fail (docs/schedules.md). */
  schedules: SchedulesHealth;
  /**
   * Queues that have limits or are paused, ordered by name. Runs that wait for a place are not part
   * of `backlog`. A process without a worker leaves out this list if no queue had limits when the
   * process started.
   */
  queues: QueueHealth[];
  /** Moment at which the oldest due run became due. Undefined when no run is due. */
  oldestDueAt: Date | undefined;
}

/**
 * State of this process's worker, and the kinds (queue, workflow and version) of runs that it
 * claims.
 */
export interface KnownWorker {
  readonly health: WorkerHealth;
  /** Kinds of runs that the worker claims. Undefined when this process has no worker. */
  readonly keys: readonly DispatchKey[] | undefined;
}

/** State of this process's direct connection. */
export interface KnownDirectConnection {
  readonly isConnected: boolean;
  /** Reason why the connection cannot be made, if known. */
  readonly error: Error | undefined;
}

/** Read replica of this process. */
export interface KnownReplica {
  state(): Promise<ReplicaHealth>;
}

/** Returns those kinds of runs that a worker with these keys does not claim. */
export function unregisteredOf<K extends DispatchKey>(kinds: readonly K[], keys: readonly DispatchKey[]): K[] {
  const served = new Set(keys.map(dispatchKeyText));
  return kinds.filter((each) => !served.has(dispatchKeyText(each)));
}
