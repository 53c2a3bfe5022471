import { ANY_VERSION, type ClaimKey, type OwnedRun } from '../../core/run.js';
import type { Database, Statement } from '../database.js';
import type { SessionFence } from '../session-fence.js';
import { SERVER } from './server-identity.js';

/**
 * A run lost so often is executed apart from others. Not sooner: most workers die of something else (a deploy, a node), and what they had must not
 * wait for that. The ready index has the same number.
 */
export const SUSPECT_LOSSES = 2;

/** A run that was claimed, and whether anything of it is recorded. */
export interface ClaimedRun extends OwnedRun {
  readonly hasHistory: boolean;
  /** Where it stood in the order of claims: priority, then since when it was due, as PostgreSQL writes it. */
  readonly priority: number;
  readonly readyAt: string;
}

/**
 * Takes due runs, best first. Each dispatch key has a LIMIT scan of its own along the ready index, whose order is the claim's, so the cost does
 * not depend on how many runs sleep, are delayed, wait for other versions or have ended (`queue = ANY (...)` sorted 100,000 rows).
 * SKIP LOCKED never waits, so the order of these locks does not matter.
 */
const CLAIM: Statement = { name: 'durable_claim', text: (schema, patience) => claimText(schema, patience, 'from the start') };

/**
 * The same, for a backlog: each key's scan begins where its last claim ended, within one priority. Entries of runs claimed before stay in the index
 * for as long as some snapshot is held, and would be stepped over by every claim from the beginning.
 */
const CLAIM_ON: Statement = { name: 'durable_claim_on', text: (schema, patience) => claimText(schema, patience, 'from a place') };

function claimText(schema: string, patience: string, from: 'from the start' | 'from a place'): string {
  const isOn = from === 'from a place';
  const keys = isOn
    ? 'unnest($2::text[], $3::text[], $4::int[], $9::smallint[], $10::timestamptz[]) AS k(queue, name, version, priority, ready_at)'
    : 'unnest($2::text[], $3::text[], $4::int[]) AS k(queue, name, version)';
  return `WITH session AS MATERIALIZED (${lockedSession(schema)}),
due AS MATERIALIZED (
  SELECT c.id, c.priority, c.ready_at FROM session
  CROSS JOIN ${keys}
  CROSS JOIN LATERAL (
    SELECT r.id, r.priority, r.ready_at FROM ${schema}.workflow_runs r
    WHERE r.status = 'pending' AND r.worker_losses < ${SUSPECT_LOSSES} AND r.queue = k.queue AND r.name = k.name AND r.version = k.version
      ${isOn ? 'AND r.priority = k.priority AND r.ready_at >= k.ready_at' : ''}
      AND (r.blocked_deployments IS NULL OR NOT ($5::text = ANY (r.blocked_deployments)))
    ORDER BY ${isOn ? '' : 'r.priority DESC, '}r.ready_at
    LIMIT $6::int
    FOR NO KEY UPDATE SKIP LOCKED
  ) AS c
  ORDER BY c.priority DESC, c.ready_at
  LIMIT $6::int
)
${takeDue(schema, patience)}`;
}

/**
 * Takes runs that were lost with a worker again and again, most often lost first. They are kept apart from the others (a partial index that is nearly always
 * empty), so that one that kills its worker takes none of them along.
 */
const CLAIM_SUSPECTS: Statement = {
  name: 'durable_claim_suspects',
  text: (schema, patience) => `WITH session AS MATERIALIZED (${lockedSession(schema)}),
suspects AS MATERIALIZED (
  SELECT c.id, c.worker_losses, c.priority, c.ready_at FROM session
  CROSS JOIN LATERAL (
    SELECT r.id, r.worker_losses, r.priority, r.ready_at FROM ${schema}.workflow_runs r
    WHERE r.status = 'pending' AND r.worker_losses >= ${SUSPECT_LOSSES}
      AND EXISTS (SELECT 1 FROM unnest($2::text[], $3::text[], $4::int[]) AS k(queue, name, version)
        WHERE r.queue = k.queue AND r.name = k.name AND r.version = k.version)
      AND (r.blocked_deployments IS NULL OR NOT ($5::text = ANY (r.blocked_deployments)))
    ORDER BY r.worker_losses DESC, r.id
    LIMIT $6::int
    FOR NO KEY UPDATE SKIP LOCKED
  ) AS c
), due AS MATERIALIZED (
  SELECT s.id, s.priority, s.ready_at FROM suspects s ORDER BY s.worker_losses DESC, s.id
  LIMIT (SELECT greatest(1, (count(*) + 3) / 4) FROM suspects WHERE worker_losses = (SELECT max(worker_losses) FROM suspects))
)
${takeDue(schema, patience)}`,
};

function lockedSession(schema: string): string {
  return `SELECT id FROM ${schema}.workflow_sessions WHERE id = $1::bigint AND ${SERVER} = $7::text FOR KEY SHARE`;
}

/**
 * Takes one run that is due, of which a transport has told: also one whose time has come and that no timer has woken, and one that was lost with
 * workers again and again. It waits for whoever has the row locked, as far as locks are waited for: nobody tells of this run a second time.
 */
const CLAIM_NAMED: Statement = {
  name: 'durable_claim_named',
  text: (schema, patience) => `WITH session AS MATERIALIZED (${lockedSession(schema)}),
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
${takeDue(schema, patience, 'wake_at = NULL,')}`,
};

function takeDue(schema: string, patience: string, more = ''): string {
  const standardTimeout = `(SELECT k.timeout FROM unnest($3::text[], $4::int[], $8::float8[]) AS k(name, version, timeout)
      WHERE k.name = r.name ORDER BY k.version DESC LIMIT 1)`;
  return `UPDATE ${schema}.workflow_runs r SET ${more}
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
FROM due WHERE r.id = ANY (ARRAY[due.id])${patience}
RETURNING ${claimedColumns('r')}`;
}

/** What `toClaimedRun` reads, in its order. */
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

/** The claim's parameters. */
export interface Claim {
  readonly fence: SessionFence;
  readonly keys: readonly ClaimKey[];
  readonly deploymentId: string;
  readonly limit: number;
}

/** Claims up to `limit` due runs for the session; none when the session is gone, or another server answers. */
export async function claimRuns(database: Database, claim: Claim): Promise<ClaimedRun[]> {
  return (await database.query<ClaimedRow>(CLAIM, valuesOf(claim))).map(toClaimedRun);
}

/** A dispatch key, and the place in its order where a claim begins. */
export interface ClaimPlace extends ClaimKey {
  readonly priority: number;
  readonly readyAt: string;
}

/** Like `claimRuns`, from these places on. */
export async function claimRunsFrom(database: Database, claim: Claim, places: readonly ClaimPlace[]): Promise<ClaimedRun[]> {
  const values = valuesOf({ ...claim, keys: places });
  const rows = await database.query<ClaimedRow>(CLAIM_ON, [
    ...values,
    places.map((place) => place.priority),
    places.map((place) => place.readyAt),
  ]);
  return rows.map(toClaimedRun);
}

/**
 * Claims runs that were lost twice or more: a quarter of those that were lost most often, at last one by itself, so that the one that is to blame is found
 * in few steps and the others go on.
 */
export async function claimSuspects(database: Database, claim: Claim): Promise<ClaimedRun[]> {
  return (await database.query<ClaimedRow>(CLAIM_SUSPECTS, valuesOf(claim))).map(toClaimedRun);
}

/**
 * Claims this run, if it is due.
 *
 * @param mostLosses one that was lost with a worker more often is left
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

const NOTE_ALONE: Statement = {
  name: 'durable_note_alone',
  text: (schema, patience) => `UPDATE ${schema}.workflow_sessions SET exclusive_run_id = $2 WHERE id = $1::bigint${patience}`,
};

/** Notes which run a session is about to execute with no other beside it: only then does the session's death count against the run. */
export async function markExclusive(database: Database, sessionId: string, runId: string | null): Promise<void> {
  await database.query(NOTE_ALONE, [sessionId, runId]);
}
