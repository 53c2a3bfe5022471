import { performance } from 'node:perf_hooks';
import { clearTimeout, setTimeout } from '../../core/timers.js';
import { dispatchKeyText, type DispatchKey } from '../../core/run.js';
import type { Database } from '../../store/database.js';
import { findBlockedRuns, findDueRuns, findSuspects, findWaitingKinds, listSessions, type DueRuns } from '../../store/sql/health.js';

/** A run in the hands of this process whose row the database refuses to change, even to block the run. */
export interface UnwritableHealth {
  runId: string;
  since: Date;
  /** `RunNotRecordedError`; its cause is the database's error. */
  error: Error;
}

/** What the worker of this process does. */
export interface WorkerHealth {
  /** `stopped`: not yet begun, closing, or none in this process. `fenced`: it has lost its session and has no new one yet. */
  state: 'running' | 'fenced' | 'stopped';
  /** Runs in its hands, those that only wait and are not suspended included. */
  runs: number;
  /** How many runs it executes at a time, and how many more it could take. */
  slots: number;
  freeSlots: number;
  /**
   * The first 100 runs that the database refuses to write at all: a trigger or a constraint of the application is in
   * the way. They hold no slot, and are tried once a minute until the cause is removed.
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
  /** Its time is over: others are about to take over its runs. */
  isExpired: boolean;
}

/** Runs of one queue, workflow and version that are due. */
export interface DueHealth extends DispatchKey {
  /** How many; 1,000 means that or more. */
  due: number;
  /** Since when the first of them has been due. */
  oldestDueAt: Date;
}

/** Blocked runs of one queue, workflow and version. */
export interface BlockedHealth extends DispatchKey {
  blocked: number;
  /** One of them, to look at. */
  exampleRunId: string;
}

/** Due runs of one queue, workflow and version that were lost with their workers twice or more. */
export interface SuspectHealth extends DispatchKey {
  suspects: number;
  /** How often the run was lost that was lost most often. */
  mostLosses: number;
  /** That run, to look at. */
  exampleRunId: string;
}

/** How the module is, as this process sees it. */
export interface WorkflowHealth {
  /** True when the database answers. Otherwise only `worker` and `directConnection` are known. */
  database: { isReachable: true; latencyMs: number } | { isReachable: false; error: Error };
  worker: WorkerHealth;
  /** Undefined where `listen` is false. Without the connection, polling does its work and the death of this process is noticed only after `sessionTtl`. */
  directConnection: { isConnected: true } | { isConnected: false; error: Error | undefined } | undefined;
  sessions: SessionHealth[];
  /** What is due and nobody has claimed, in the order of queue, workflow and version. Version 0: started by name alone. */
  backlog: DueHealth[];
  /** The part of the backlog that no living process executes: neither this one, nor one that has a session. */
  unregistered: DueHealth[];
  /**
   * Runs that wait for a time, a message or a child, and that no living process could continue then.
   * Of very many runs some are looked at.
   */
  unregisteredWaiting: DispatchKey[];
  /** Runs that wait for a deployment whose code fits their history: `describe().blocked` says why. Up to 1,000 are counted. */
  blocked: BlockedHealth[];
  /**
   * Due runs that are suspected of ending their workers, because they were lost twice or more. A worker executes them
   * apart from others; `backlog`, `unregistered` and `oldestDueAt` leave them out. Up to 1,000 are counted.
   */
  suspects: SuspectHealth[];
  /** Since when the oldest due run has been due. */
  oldestDueAt: Date | undefined;
}

/** What is known of the worker of this process. */
export interface KnownWorker {
  readonly health: WorkerHealth;
  /** Everything that it claims; undefined when there is no worker. */
  readonly keys: readonly DispatchKey[] | undefined;
}

/** The state of the direct connection of this process. */
export interface KnownDirectConnection {
  readonly isConnected: boolean;
  /** Why it cannot be made. */
  readonly error: Error | undefined;
}

/** Whoever asks for health wants an answer before a probe gives up. */
const ANSWER_MS = 5_000;

/** Asks how the module is. Never rejects for the database. */
export async function healthOf(
  database: Database,
  { health: worker, keys }: KnownWorker,
  direct: KnownDirectConnection | undefined,
): Promise<WorkflowHealth> {
  const directConnection =
    direct && (direct.isConnected ? { isConnected: true as const } : { isConnected: false as const, error: direct.error });
  const since = performance.now();
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`the database did not answer within ${ANSWER_MS} ms`)), ANSWER_MS);
  });
  try {
    const sessions = await Promise.race([listSessions(database), late]);
    const latencyMs = performance.now() - since;
    const due = await Promise.race([findDueRuns(database), late]);
    const waiting = await Promise.race([findWaitingKinds(database), late]);
    const blocked = await Promise.race([findBlockedRuns(database), late]);
    const suspects = await Promise.race([findSuspects(database), late]);
    const alive = sessions.filter(({ isExpired }) => !isExpired);
    const served = new Set([...(keys ?? []).map(dispatchKeyText), ...alive.flatMap(({ serves }) => serves)]);
    return {
      database: { isReachable: true, latencyMs },
      worker,
      directConnection,
      sessions: sessions.map(({ serves: _, ...each }) => ({
        ...each,
        startedAt: new Date(each.startedAt),
        heartbeatAt: new Date(each.heartbeatAt),
      })),
      backlog: due.map(toHealth),
      unregistered: due.filter((each) => !served.has(dispatchKeyText(each))).map(toHealth),
      unregisteredWaiting: waiting.filter((each) => !served.has(dispatchKeyText(each))),
      blocked,
      suspects,
      oldestDueAt: due.length === 0 ? undefined : new Date(Math.min(...due.map(({ oldestDueAt }) => oldestDueAt))),
    };
  } catch (error) {
    const known = error instanceof Error ? error : new Error(String(error));
    const nothing = {
      sessions: [],
      backlog: [],
      unregistered: [],
      unregisteredWaiting: [],
      blocked: [],
      suspects: [],
      oldestDueAt: undefined,
    };
    return { database: { isReachable: false, error: known }, worker, directConnection, ...nothing };
  } finally {
    clearTimeout(timer);
  }
}

/** What a worker with these keys does not claim. */
export function unregisteredOf<K extends DispatchKey>(kinds: readonly K[], keys: readonly DispatchKey[]): K[] {
  const served = new Set(keys.map(dispatchKeyText));
  return kinds.filter((each) => !served.has(dispatchKeyText(each)));
}

function toHealth({ oldestDueAt, ...each }: DueRuns): DueHealth {
  return { ...each, oldestDueAt: new Date(oldestDueAt) };
}
