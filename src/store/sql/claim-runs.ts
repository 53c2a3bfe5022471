import { ANY_VERSION, type ClaimKey, type OwnedRun } from '../../core/run.js';
import type { Database, Statement } from '../database.js';
import { changeMany, manyRuns, type Changed } from '../many-runs.js';
import type { SessionFence } from '../session-fence.js';
import { SERVER } from './server-identity.js';

/**
 * Number of losses from which a run is executed separately. A lower number would be wrong: most
 * workers die for other reasons (a deploy, a failed node), and the runs of those workers must not
 * wait. The ready index contains the same number.
 */
export const SUSPECT_LOSSES = 2;

/** A claimed run, with a flag that says whether it may have recorded history. */
export interface ClaimedRun extends OwnedRun {
  readonly hasHistory: boolean;
  /**
   * Place of the run in the order of claims: priority, then the time since when it was due, as
   * PostgreSQL prints it.
   */
  readonly priority: number;
  readonly readyAt: string;
}

/**
 * Claims due runs, in the order of their priority and due time. Each dispatch key scans the ready
 * index separately with a LIMIT, and the index has the same order as the claim. So the cost does
 * not depend on the number of runs that sleep, are delayed, wait for other versions or have ended
 * (`queue = ANY (...)` sorted 100,000 rows). SKIP LOCKED never waits, so the order of these locks
 * does not matter.
 */
const CLAIM = manyRuns('durable_claim', {
  select: (schema, narrow) => selectDue(schema, 'from the start', narrow),
  change: takeDue,
  selected: 'SELECT id FROM due WHERE $8::float8[] IS NOT NULL',
  parameter: 9,
});

/**
 * Claims runs of a backlog. Each key's scan begins where its last claim ended, within one priority.
 * Index entries of runs claimed earlier remain while any snapshot is held. A scan from the
 * beginning would step over all of them.
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
 * Claims runs that were lost with a worker repeatedly, most often lost first. A partial index that
 * is nearly always empty contains them. They are separate from other runs, so that a run that kills
 * its worker does not take others with it.
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
 * Claims one due run that a transport has announced. The run may also be a sleeping one whose time
 * has come and that no timer has woken, or one that was lost with workers repeatedly. The statement
 * waits for a lock on the row, up to the lock timeout, because the transport does not announce the
 * run again.
 */
const CLAIM_NAMED: Statement = {
  name: 'durable_claim_named',
  text: (schema, lockTimeout) => `WITH session AS MATERIALIZED (${lockedSession(schema)}),
due AS MATERIALIZED (
  SELECT r.id, r.priority, coalesce(r.ready_at, r.wake_at) AS ready_at FROM session CROSS JOIN LATERAL (
    SELECT r.id, r.priority, r.ready_at, r.wake_at FROM ${schema}.workflow_runs r
    WHERE r.id = $9 AND r.worker_losses <= $10::int AND (r.status = 'pending' OR r.status = 'waiting' AND r.wake_at <= now())
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

/** Columns that `toClaimedRun` reads, in its order. */
function claimedColumns(alias: string): string {
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
    `${alias}.parent_run_id`,
    `${alias}.parent_step_key`,
    `extract(epoch FROM ${alias}.deadline_at)::float8 * 1000`,
    `${alias}.generation`,
    `coalesce(${alias}.seed_run_id, ${alias}.id)`,
  ].join(', ');
}

type ClaimedRow = [
  ...[id: string, queue: string, name: string, version: number, epoch: number, input: string, startedAt: number],
  ...[wakeCount: number, historyBytes: number, losses: number, priority: number, readyAt: string],
  ...[parentRunId: string | null, parentStepKey: string | null, deadlineAt: number | null, generation: number, seedId: string],
];

function toClaimedRun(row: ClaimedRow): ClaimedRun {
  const [id, queue, name, version, epoch, input, startedAt, wakeCount, historyBytes, losses, priority, readyAt, ...rest] = row;
  const [parentRunId, parentStepKey, deadlineAt, generation, seedId] = rest;
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
    parent: parentRunId === null || parentStepKey === null ? null : { runId: parentRunId, stepKey: parentStepKey },
    deadlineAt,
    generation,
    seedId,
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
 * Claims up to `limit` due runs for the session. Claims nothing when the session has ended, or
 * another server answers.
 */
export async function claimRuns(database: Database, claim: Claim): Promise<ClaimedRun[]> {
  return (await claimWritable(database, claim)).rows;
}

/**
 * Claims due runs as `claimRuns` does. The result is partial when the database has refused a run
 * that is due: more due runs may remain, although fewer than `limit` were claimed.
 */
export async function claimWritable(database: Database, claim: Claim): Promise<Changed<ClaimedRun>> {
  const { rows, isPartial } = await changeMany<ClaimedRow>(database, CLAIM, valuesOf(claim), ([id]) => id, claim.limit);
  return { rows: rows.map(toClaimedRun), isPartial };
}

/** A dispatch key, and the place in its order where a claim begins. */
export interface ClaimPlace extends ClaimKey {
  readonly priority: number;
  readonly readyAt: string;
}

/** Claims due runs as `claimRuns` does, beginning at these places. */
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
 * Claims runs that were lost twice or more. Takes a quarter of those that were lost most often, and
 * at last a single one. So the run that kills its worker is found in few steps, and the others
 * continue.
 */
export async function claimSuspects(database: Database, claim: Claim): Promise<ClaimedRun[]> {
  return (await changeMany<ClaimedRow>(database, CLAIM_SUSPECTS, valuesOf(claim), ([id]) => id, claim.limit)).rows.map(toClaimedRun);
}

/**
 * Claims the run with this id, if it is due.
 *
 * @param mostLosses a run that was lost more often is not claimed
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
 * Records which run a session is about to execute exclusively. Only for an exclusive run does the
 * session's death count against the run.
 */
export async function markExclusive(database: Database, sessionId: string, runId: string | null): Promise<void> {
  await database.query(MARK_EXCLUSIVE, [sessionId, runId]);
}
