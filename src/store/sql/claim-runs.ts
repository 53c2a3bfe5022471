import { ANY_VERSION, type ClaimKey, type OwnedRun } from '../../core/run.js';
import type { Database, Statement } from '../database.js';
import { changeMany, manyRuns, type Changed } from '../many-runs.js';
import type { SessionFence } from '../session-fence.js';
import { SERVER } from './server-identity.js';

/**
 * Number of workers that must have died with a run before the run is executed separately. With 1,
 * many runs would wait for no reason, because most workers die for other reasons, such as a deploy
 * or a failed node. The index `workflow_runs_ready_idx` contains the same number.
 */
export const SUSPECT_LOSSES = 2;

/** A claimed run. `hasHistory` is true when the run may have recorded steps. */
export interface ClaimedRun extends OwnedRun {
  readonly hasHistory: boolean;
  /**
   * Place of the run in the order of claims: its priority, and the time at which it became due
   * (`readyAt`, as PostgreSQL prints it).
   */
  readonly priority: number;
  readonly readyAt: string;
}

/**
 * Claims due runs, in the order of their priority and due time. The statement scans the ready index
 * once per dispatch key, with a LIMIT and in the order of the index. So the cost does not depend on
 * the number of runs that sleep, wait for other versions or have ended. A single scan with `queue =
 * ANY (...)` would have to sort all due rows (100,000 in a measurement). SKIP LOCKED never waits,
 * so the order in which rows are locked cannot cause a deadlock.
 */
const CLAIM = manyRuns('durable_claim', {
  select: (schema, narrow) => selectDue(schema, 'from the start', narrow),
  change: takeDue,
  selected: 'SELECT id FROM due WHERE $8::float8[] IS NOT NULL',
  parameter: 9,
});

/**
 * Claims further runs from a long queue of due runs. For each dispatch key, the scan begins where
 * the last claim of the key ended, within one priority. While any transaction holds an old
 * snapshot, the index keeps entries of runs that were claimed already. A scan from the beginning
 * would read all these entries.
 */
const CLAIM_FROM: Statement = {
  name: 'durable_claim_on',
  text: (schema, lockTimeout) => `${selectDue(schema, 'from a place', '')}\n${takeDue(schema, lockTimeout)}`,
};

function selectDue(schema: string, from: 'from the start' | 'from a place', narrow: string): string {
  const isFromPlace = from === 'from a place';
  const keys = isFromPlace
    ? 'unnest($2::text[], $3::text[], $4::int[], $9::smallint[], $10::timestamptz[]) AS k(queue, name, version, priority, ready_at)'
    : 'unnest($2::text[], $3::text[], $4::int[]) AS k(queue, name, version)';
  return `WITH session AS MATERIALIZED (${lockedSession(schema)}),
due AS MATERIALIZED (
  SELECT c.id, c.priority, c.ready_at FROM session
  CROSS JOIN ${keys}
  CROSS JOIN LATERAL (
    SELECT r.id, r.priority, r.ready_at FROM ${schema}.workflow_runs r
    WHERE r.status = 'pending' AND r.worker_losses < ${SUSPECT_LOSSES} AND r.queue = k.queue AND r.name = k.name AND r.version = k.version
      ${isFromPlace ? 'AND r.priority = k.priority AND r.ready_at >= k.ready_at' : ''}
      AND (r.blocked_deployments IS NULL OR NOT ($5::text = ANY (r.blocked_deployments)))${narrow}
    ORDER BY ${isFromPlace ? '' : 'r.priority DESC, '}r.ready_at
    LIMIT $6::int
    FOR NO KEY UPDATE SKIP LOCKED
  ) AS c
  ORDER BY c.priority DESC, c.ready_at
  LIMIT $6::int
)`;
}

/**
 * Claims suspects: runs whose workers have died repeatedly. Runs with the most losses come first.
 * Suspects are claimed separately, so that a run that kills its worker does not interrupt other
 * runs. The partial index of suspects is nearly always empty.
 */
const CLAIM_SUSPECTS = manyRuns('durable_claim_suspects', {
  select: (schema, narrow) => `WITH session AS MATERIALIZED (${lockedSession(schema)}),
suspects AS MATERIALIZED (
  SELECT c.id, c.worker_losses, c.priority, c.ready_at FROM session
  CROSS JOIN LATERAL (
    SELECT r.id, r.worker_losses, r.priority, r.ready_at FROM ${schema}.workflow_runs r
    WHERE r.status = 'pending' AND r.worker_losses >= ${SUSPECT_LOSSES}
      AND EXISTS (SELECT 1 FROM unnest($2::text[], $3::text[], $4::int[]) AS k(queue, name, version)
        WHERE r.queue = k.queue AND r.name = k.name AND r.version = k.version)
      AND (r.blocked_deployments IS NULL OR NOT ($5::text = ANY (r.blocked_deployments)))${narrow}
    ORDER BY r.worker_losses DESC, r.id
    LIMIT $6::int
    FOR NO KEY UPDATE SKIP LOCKED
  ) AS c
), due AS MATERIALIZED (
  SELECT s.id, s.priority, s.ready_at FROM suspects s ORDER BY s.worker_losses DESC, s.id
  LIMIT (SELECT greatest(1, (count(*) + 3) / 4) FROM suspects WHERE worker_losses = (SELECT max(worker_losses) FROM suspects))
)`,
  change: takeDue,
  selected: 'SELECT id FROM due WHERE $8::float8[] IS NOT NULL',
  parameter: 9,
});

function lockedSession(schema: string): string {
  return `SELECT id FROM ${schema}.workflow_sessions WHERE id = $1::bigint AND ${SERVER} = $7::text FOR KEY SHARE`;
}

/**
 * Claims one due run that a push transport has announced. Also claims a sleeping run whose wake
 * time has passed but that no timer has woken, and a run whose workers have died. The transport
 * does not announce the run again, so the statement waits for a lock on the row. The lock timeout
 * limits the wait.
 */
const CLAIM_NAMED: Statement = {
  name: 'durable_claim_named',
  text: (schema, lockTimeout) => `WITH session AS MATERIALIZED (${lockedSession(schema)}),
due AS MATERIALIZED (
  SELECT r.id, r.priority, coalesce(r.ready_at, r.wake_at) AS ready_at FROM session CROSS JOIN LATERAL (
    SELECT r.id, r.priority, r.ready_at, r.wake_at FROM ${schema}.workflow_runs r
    WHERE r.id = $9 AND r.worker_losses <= $10::int AND (r.status = 'pending' OR r.status = 'waiting' AND r.wake_at <= now() AND r.place IS NULL)
      AND (r.blocked_deployments IS NULL OR NOT ($5::text = ANY (r.blocked_deployments)))
      AND EXISTS (SELECT 1 FROM unnest($2::text[], $3::text[], $4::int[]) AS k(queue, name, version)
        WHERE r.queue = k.queue AND r.name = k.name AND r.version = k.version)
    LIMIT $6::int FOR NO KEY UPDATE
  ) AS r
)
${takeDue(schema, lockTimeout, 'wake_at = NULL,')}`,
};

function takeDue(schema: string, lockTimeout: string, alsoSet = ''): string {
  const standardTimeout = `(SELECT k.timeout FROM unnest($3::text[], $4::int[], $8::float8[]) AS k(name, version, timeout)
      WHERE k.name = r.name ORDER BY k.version DESC LIMIT 1)`;
  return `UPDATE ${schema}.workflow_runs r SET ${alsoSet}
  status = 'running',
  session_id = $1::bigint,
  epoch = r.epoch + 1,
  started_at = coalesce(r.started_at, now()),
  ready_at = NULL,
  version = CASE WHEN r.version = ${ANY_VERSION}
    THEN (SELECT max(k.version) FROM unnest($3::text[], $4::int[]) AS k(name, version) WHERE k.name = r.name)
    ELSE r.version END,
  timeout_ms = CASE WHEN r.version = ${ANY_VERSION} AND r.timeout_ms IS NULL THEN ${standardTimeout} ELSE r.timeout_ms END,
  deadline_at = CASE WHEN r.version = ${ANY_VERSION} AND r.deadline_at IS NULL
    THEN coalesce(r.ready_at, r.wake_at) + ${standardTimeout} * interval '1 millisecond'
    ELSE r.deadline_at END
FROM due WHERE r.id = ANY (ARRAY[due.id])${lockTimeout}
RETURNING ${claimedColumns('r')}`;
}

/** Lists the columns that `toClaimedRun` reads. `due` has the run's priority and due time. */
export function claimedColumns(alias: string): string {
  const columns = ['id', 'queue', 'name', 'version', 'epoch', 'input::text'];
  const times = [`extract(epoch FROM ${alias}.started_at)::float8 * 1000`];
  return [
    ...columns.map((column) => `${alias}.${column}`),
    ...times,
    `${alias}.wake_count`,
    `${alias}.history_bytes::float8`,
    `${alias}.worker_losses`,
    'due.priority',
    'due.ready_at::text',
    'extract(epoch FROM due.ready_at)::float8 * 1000',
    `${alias}.parent_run_id`,
    `${alias}.parent_step_key`,
    `extract(epoch FROM ${alias}.deadline_at)::float8 * 1000`,
    `${alias}.generation`,
    `coalesce(${alias}.seed_run_id, ${alias}.id)`,
    `${alias}.trace_context`,
    `${alias}.queue_key`,
    `${alias}.place IS NOT NULL`,
    `extract(epoch FROM ${alias}.opens_at)::float8 * 1000`,
    `${alias}.schedule`,
    `extract(epoch FROM ${alias}.due_at)::float8 * 1000`,
  ].join(', ');
}

export type ClaimedRow = [
  ...[id: string, queue: string, name: string, version: number, epoch: number, input: string, startedAt: number],
  ...[wakeCount: number, historyBytes: number, losses: number, priority: number, readyAt: string, dueSince: number],
  ...[parentRunId: string | null, parentStepKey: string | null, deadlineAt: number | null, generation: number, seedId: string],
  ...[traceContext: string | null, queueKey: string | null, hasPlace: boolean, opensAt: number | null],
  ...[schedule: string | null, dueAt: number | null],
];

/** Reads a row of `claimedColumns`. */
export function toClaimedRun(row: ClaimedRow): ClaimedRun {
  const [id, queue, name, version, epoch, input, startedAt, wakeCount, historyBytes, losses, priority, readyAt, dueSince, ...rest] = row;
  const [parentRunId, parentStepKey, deadlineAt, generation, seedId, traceContext, queueKey, hasPlace, opensAt, schedule, dueAt] = rest;
  return {
    id,
    queue,
    name,
    version,
    epoch,
    input,
    startedAt: Math.floor(startedAt),
    wakeCount,
    historyBytes,
    losses,
    hasHistory: epoch > 1,
    priority,
    readyAt,
    dueSince,
    parent: parentRunId === null || parentStepKey === null ? null : { runId: parentRunId, stepKey: parentStepKey },
    deadlineAt,
    generation,
    seedId,
    traceContext,
    queueKey,
    ...(hasPlace ? { hasPlace } : {}),
    ...(opensAt === null ? {} : { opensAt }),
    schedule: schedule === null || dueAt === null ? null : { name: schedule, dueAt },
  };
}

/** Parameters of a claim. */
export interface Claim {
  readonly fence: SessionFence;
  readonly keys: readonly ClaimKey[];
  readonly deploymentId: string;
  readonly limit: number;
}

/**
 * Claims up to `limit` due runs for the session. Claims nothing when the session has ended, or when
 * the database server is not the one that the session knows.
 */
export async function claimRuns(database: Database, claim: Claim): Promise<ClaimedRun[]> {
  return (await claimWritable(database, claim)).rows;
}

/**
 * Claims due runs as `claimRuns` does. `isPartial` is true when the database refused to change one
 * of the runs. Then more due runs may remain, although fewer than `limit` were claimed.
 */
export async function claimWritable(database: Database, claim: Claim): Promise<Changed<ClaimedRun>> {
  const { rows, isPartial } = await changeMany<ClaimedRow>(database, CLAIM, valuesOf(claim), ([id]) => id, claim.limit);
  return { rows: rows.map(toClaimedRun), isPartial };
}

/**
 * Place in the order of one dispatch key's due runs at which a claim begins: the claim skips runs
 * with a higher priority or an earlier due time.
 */
export interface ClaimPlace extends ClaimKey {
  readonly priority: number;
  readonly readyAt: string;
}

/** Claims due runs as `claimRuns` does, but scans each dispatch key from the given place. */
export async function claimRunsFrom(database: Database, claim: Claim, places: readonly ClaimPlace[]): Promise<ClaimedRun[]> {
  const values = valuesOf({ ...claim, keys: places });
  const rows = await database.query<ClaimedRow>(CLAIM_FROM, [
    ...values,
    places.map((place) => place.priority),
    places.map((place) => place.readyAt),
  ]);
  return rows.map(toClaimedRun);
}

/**
 * Claims suspects: runs whose workers have died twice or more. Of the runs with the most losses,
 * claims a quarter, but at least one. If the worker that executes this quarter dies too, the next
 * claim takes a quarter of the quarter. So the run that kills its workers is found in few steps,
 * and the other runs continue.
 */
export async function claimSuspects(database: Database, claim: Claim): Promise<ClaimedRun[]> {
  return (await changeMany<ClaimedRow>(database, CLAIM_SUSPECTS, valuesOf(claim), ([id]) => id, claim.limit)).rows.map(toClaimedRun);
}

/**
 * Claims the run with this id, if it is due.
 *
 * @param mostLosses maximum number of workers that may have died with the run
 */
export async function claimNamed(
  database: Database,
  claim: Omit<Claim, 'limit'>,
  runId: string,
  mostLosses: number,
): Promise<ClaimedRun | undefined> {
  const [row] = await database.query<ClaimedRow>(CLAIM_NAMED, [...valuesOf({ ...claim, limit: 1 }), runId, mostLosses]);
  return row && toClaimedRun(row);
}

function valuesOf({ fence, keys, deploymentId, limit }: Claim): unknown[] {
  const names = [keys.map((key) => key.queue), keys.map((key) => key.name), keys.map((key) => key.version)];
  return [fence.id, ...names, deploymentId, limit, fence.server, keys.map((key) => key.timeoutMs ?? null)];
}

const MARK_EXCLUSIVE: Statement = {
  name: 'durable_note_alone',
  text: (schema, lockTimeout) => `UPDATE ${schema}.workflow_sessions SET exclusive_run_id = $2 WHERE id = $1::bigint${lockTimeout}`,
};

/**
 * Records that a session is about to execute only this run. Null ends the exclusive execution. The
 * death of a worker counts towards failing a run only if the worker executed this run exclusively.
 */
export async function markExclusive(database: Database, sessionId: string, runId: string | null): Promise<void> {
  await database.query(MARK_EXCLUSIVE, [sessionId, runId]);
}
