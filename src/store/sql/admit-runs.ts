import type { DueRun } from '../../core/run.js';
import type { Database, Statement } from '../database.js';
import { claimedColumns, toClaimedRun, type Claim, type ClaimedRow, type ClaimedRun } from './claim-runs.js';

/** Largest number of runs that one statement admits. */
const MOST_RUNS = 500;

/**
 * Gives places to runs, and claims some of them. Without a claim the commit does not wait for the
 * disk: a later claim of an admitted run waits, and its commit covers this one. A crash of the
 * server can only lose admissions of unclaimed runs.
 */
const ADMIT: Statement = {
  name: 'durable_admit',
  text: (schema, lockTimeout) => `SELECT a.more_ms, a.is_claimed, (a.run).id, (a.run).name, (a.run).version, c.*
FROM ${schema}.workflow_admit_and_claim($1, $2::text[], ${MOST_RUNS}, $3, $4::bigint, $5, $6, $7::text[], $8::int[], $9) AS a
LEFT JOIN LATERAL (
  SELECT ${claimedColumns('(a.run)')} FROM (SELECT (a.run).priority, a.due_at AS ready_at) AS due
) AS c ON a.is_claimed${lockTimeout && ` WHERE true${lockTimeout}`}`,
};

type AdmittedRow = [more: number | null, isClaimed: boolean, id: string | null, name: string, version: number, ...run: ClaimedRow];

/** Runs that got a place, and when more runs can get one. */
export interface Admission {
  /** Admitted runs that wait for a claim. */
  readonly runs: readonly DueRun[];
  readonly claimed: readonly ClaimedRun[];
  /** Milliseconds until the queue can admit more runs, as far as a rate limit tells. */
  readonly moreMs: number | undefined;
}

/**
 * Gives free places of a queue to the runs that wait for them.
 *
 * @param keys keys with a new run or a free place; undefined when all keys may have one
 * @param aheadMs how long before its slot of a rate limit a run is admitted
 * @param claim claim of admitted runs by a worker; its keys are all of this queue
 */
export async function admitRuns(
  database: Database,
  queue: string,
  keys: readonly string[] | undefined,
  aheadMs: number,
  claim?: Claim,
): Promise<Admission> {
  const names = claim?.keys.map((key) => key.name) ?? [];
  const versions = claim?.keys.map((key) => key.version) ?? [];
  const claimed = [claim?.fence.id ?? null, claim?.fence.server ?? '', claim?.limit ?? 0, names, versions, claim?.deploymentId ?? ''];
  const rows = await database.query<AdmittedRow>(ADMIT, [queue, keys ?? null, aheadMs, ...claimed]);
  const admission = { runs: [] as DueRun[], claimed: [] as ClaimedRun[], moreMs: undefined as number | undefined };
  for (const [more, isClaimed, id, name, version, ...run] of rows) {
    if (id === null) admission.moreMs = more ?? undefined;
    else if (isClaimed) admission.claimed.push(toClaimedRun(run));
    else admission.runs.push({ id, queue, name, version, isAdmitted: true });
  }
  return admission;
}
