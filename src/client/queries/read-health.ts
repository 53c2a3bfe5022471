import { performance } from 'node:perf_hooks';
import { toDate } from '../../core/duration.js';
import { clearTimeout, setTimeout } from '../../core/timers.js';
import { dispatchKeyText } from '../../core/run.js';
import { findLimitedQueues } from '../../store/sql/list-queues.js';
import type { Database } from '../../store/database.js';
import {
  countBacklogs,
  findBlockedRuns,
  findDueRuns,
  findSuspects,
  findWaitingKinds,
  listSessions,
  type DueRuns,
} from '../../store/sql/health.js';
import type { DueHealth, KnownDirectConnection, KnownReplica, KnownWorker, WorkflowHealth } from './health.js';

/**
 * Milliseconds after which the report is returned without data from the database. Typical health
 * probes wait only a little longer.
 */
const ANSWER_MS = 5_000;

/** Collects the health report. Never rejects because of a failing database. */
export async function healthOf(
  database: Database,
  { health: worker, keys }: KnownWorker,
  direct: KnownDirectConnection | undefined,
  replica: KnownReplica | undefined,
): Promise<WorkflowHealth> {
  const directConnection =
    direct && (direct.isConnected ? { isConnected: true as const } : { isConnected: false as const, error: direct.error });
  const replicaState = replica?.state();
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
    const { events, oldestEmittedAt, overdue, oldestFireAt, failing } = await Promise.race([countBacklogs(database), late]);
    const queues = await Promise.race([findLimitedQueues(database), late]);
    const alive = sessions.filter(({ isExpired }) => !isExpired);
    const served = new Set([...(keys ?? []).map(dispatchKeyText), ...alive.flatMap(({ serves }) => serves)]);
    return {
      database: { isReachable: true, latencyMs },
      worker,
      directConnection,
      readReplica: await replicaState,
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
      undispatched: { events, oldestEmittedAt: toDate(oldestEmittedAt) },
      schedules: { overdue, overdueSince: toDate(oldestFireAt), failing },
      queues: queues.map(({ oldestAt, ...each }) => ({ ...each, oldestSince: toDate(oldestAt) })),
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
      undispatched: { events: 0, oldestEmittedAt: undefined },
      schedules: { overdue: 0, overdueSince: undefined, failing: 0 },
      queues: [],
      oldestDueAt: undefined,
    };
    return { database: { isReachable: false, error: known }, worker, directConnection, readReplica: await replicaState, ...nothing };
  } finally {
    clearTimeout(timer);
  }
}

function toHealth({ oldestDueAt, ...each }: DueRuns): DueHealth {
  return { ...each, oldestDueAt: new Date(oldestDueAt) };
}
