import { latenessOf, type StepLimitOptions, type StoredLimits } from '../../core/queue-limits.js';
import { faultOf } from '../database-errors.js';
import type { Database, Statement } from '../database.js';
import type { KnownQueue } from '../known-queues.js';

/** Limits of a queue or of steps, with the JSON text from which they were checked. */
export interface NamedLimits {
  readonly kind: 'queue' | 'step';
  readonly name: string;
  readonly json: string | null;
  readonly limits: StoredLimits;
}

const LIMITS = [
  ['is_limited', 'boolean'],
  ['concurrency', 'int'],
  ['per_worker', 'int'],
  ['key_concurrency', 'int'],
  ['interval_ms', 'float8'],
  ['burst', 'int'],
  ['key_interval_ms', 'float8'],
  ['key_burst', 'int'],
  ['is_fifo', 'boolean'],
  ['counts_suspended', 'boolean'],
] as const;

const COLUMN_NAMES = LIMITS.map(([name]) => name).join(', ');
const PARAMETERS = LIMITS.map(([, type], index) => `$${index + 4}::${type}`).join(', ');

function valuesOf(limits: StoredLimits): unknown[] {
  const { isLimited, concurrency, perWorker, keyConcurrency, intervalMs, burst, keyIntervalMs, keyBurst, isFifo, countsSuspended } = limits;
  return [isLimited, concurrency, perWorker, keyConcurrency, intervalMs, burst, keyIntervalMs, keyBurst, isFifo, countsSuspended];
}

/** Number of tries, each of which waits for the row of a queue as long as a statement may wait. */
const LOCKED_TRIES = 50;

/** Repeats a change of limits while admissions or other processes lock the row of the queue. */
async function whileLocked<T>(change: () => Promise<T>): Promise<T> {
  for (let tries = 1; ; tries++) {
    try {
      return await change();
    } catch (error) {
      if (tries === LOCKED_TRIES || faultOf(error) !== 'locked') throw error;
    }
  }
}

/** Milliseconds beyond which a slot has not been given to a run, unless runs began late. */
const GIVEN_MS = 1_000;

/**
 * SQL that brings the next slot forward when a rate limit becomes faster, so that no run waits for
 * a slot of the old limit. The new limit then counts from now, as if its burst was just used.
 */
const earlierSlot = (arrival: string, interval: string, burst: string): string => {
  const latest = latestSlot(interval, burst);
  return `CASE WHEN ${arrival} > ${latest} THEN ${latest} ELSE ${arrival} END`;
};
const latestSlot = (interval: string, burst: string): string =>
  `(now() + (${GIVEN_MS} + ${burst} * ${interval}) * interval '1 millisecond')`;

/** SQL that lets the sweep adopt the runs of a queue which has got its first limits. */
const adoptingSql = (isLimited: string): string => `CASE WHEN NOT q.is_limited AND (${isLimited}) THEN '' ELSE q.adopting_after END`;

/**
 * Keeps the limits in force when an override replaces the declared limits. A boot with the stored
 * options locks nothing.
 */
const DECLARE: Statement = {
  name: 'durable_declare_queue',
  text: (schema, lockTimeout) => `INSERT INTO ${schema}.workflow_queues AS q (kind, name, declared, ${COLUMN_NAMES}, adopting_after)
SELECT $1, $2, $3::json, ${PARAMETERS}, CASE WHEN $4::boolean THEN '' END
WHERE NOT EXISTS (SELECT 1 FROM ${schema}.workflow_queues s WHERE s.kind = $1 AND s.name = $2 AND s.declared::text = $3::json::text)
ON CONFLICT (kind, name) DO UPDATE SET declared = excluded.declared, revision = q.revision + 1, updated_at = now(),
  arrival_at = CASE WHEN q.override IS NULL THEN ${earlierSlot('q.arrival_at', 'excluded.interval_ms', 'excluded.burst')} ELSE q.arrival_at END,
  swept_at = '-infinity', adopting_after = ${adoptingSql('CASE WHEN q.override IS NULL THEN excluded.is_limited ELSE q.is_limited END')},
  ${LIMITS.map(([name]) => `${name} = CASE WHEN q.override IS NULL THEN excluded.${name}${name === 'is_limited' ? ' OR q.is_paused' : ''} ELSE q.${name} END`).join(', ')}
WHERE q.declared::text IS DISTINCT FROM excluded.declared::text${lockTimeout}
RETURNING 1`,
};

/** Brings the next slots of keys forward. Locks the queue first, as an admission does. */
const EARLIER_KEYS: Statement = {
  name: 'durable_earlier_keys',
  text: (schema, lockTimeout) => `WITH q AS MATERIALIZED (
  SELECT w.kind, w.name, ${latestSlot('w.key_interval_ms', 'w.key_burst')} AS latest
  FROM ${schema}.workflow_queues w WHERE w.kind = $1 AND w.name = $2 AND w.key_interval_ms IS NOT NULL FOR NO KEY UPDATE
)
UPDATE ${schema}.workflow_queue_keys a SET arrival_at = q.latest
FROM q WHERE a.kind = q.kind AND a.name = q.name AND a.arrival_at > q.latest${lockTimeout}`,
};

/** Stores the limits of the module's options. Returns true when the limits have changed. */
export async function declareQueue(database: Database, { kind, name, json, limits }: NamedLimits): Promise<boolean> {
  const rows = await whileLocked(() => database.query(DECLARE, [kind, name, json, ...valuesOf(limits)]));
  if (rows.length > 0) await whileLocked(() => database.query(EARLIER_KEYS, [kind, name]));
  return rows.length > 0;
}

const CONFIGURE: Statement = {
  name: 'durable_configure_queue',
  text: (schema, lockTimeout) => `INSERT INTO ${schema}.workflow_queues AS q (kind, name, override, ${COLUMN_NAMES}, adopting_after)
VALUES ($1, $2, $3::json, ${PARAMETERS}, CASE WHEN $4::boolean THEN '' END)
ON CONFLICT (kind, name) DO UPDATE SET override = excluded.override, revision = q.revision + 1, updated_at = now(),
  arrival_at = ${earlierSlot('q.arrival_at', 'excluded.interval_ms', 'excluded.burst')},
  swept_at = '-infinity', adopting_after = ${adoptingSql('excluded.is_limited')},
  ${LIMITS.map(([name]) => `${name} = ${name === 'is_limited' ? 'excluded.is_limited OR q.is_paused' : `excluded.${name}`}`).join(', ')}
WHERE true${lockTimeout}`,
};

/** Stores limits that replace the declared ones. `json` is null for the declared limits. */
export async function configureQueue(database: Database, { kind, name, json, limits }: NamedLimits): Promise<void> {
  await whileLocked(() => database.query(CONFIGURE, [kind, name, json, ...valuesOf(limits)]));
  await whileLocked(() => database.query(EARLIER_KEYS, [kind, name]));
}

const PAUSE: Statement = {
  name: 'durable_pause_queue',
  text: (schema, lockTimeout) => `INSERT INTO ${schema}.workflow_queues AS q (kind, name, is_paused, is_limited, adopting_after)
VALUES ('queue', $1, $2, $2, CASE WHEN $2 THEN '' END)
ON CONFLICT (kind, name) DO UPDATE SET is_paused = excluded.is_paused, revision = q.revision + 1, updated_at = now(),
  swept_at = '-infinity', adopting_after = ${adoptingSql('excluded.is_paused')},
  is_limited = excluded.is_paused OR q.concurrency IS NOT NULL OR q.key_concurrency IS NOT NULL OR q.interval_ms IS NOT NULL
    OR q.key_interval_ms IS NOT NULL
WHERE q.is_paused <> excluded.is_paused${lockTimeout}`,
};

/** Pauses a queue: admits no further run. Or resumes the queue. */
export async function pauseQueue(database: Database, name: string, to: 'paused' | 'open'): Promise<void> {
  await whileLocked(() => database.query(PAUSE, [name, to === 'paused']));
}

/** SQL that changes whenever the limits of any queue change. */
export const revisionSql = (schema: string): string => `(SELECT sum(revision)::text FROM ${schema}.workflow_queues)`;

const READ_KNOWN: Statement = {
  name: 'durable_known_queues',
  text: (schema) => `SELECT kind, name, is_limited, per_worker, concurrency IS NOT NULL OR key_concurrency IS NOT NULL,
  interval_ms IS NOT NULL OR key_interval_ms IS NOT NULL, coalesce(override, declared, '{}')::text, ${revisionSql(schema)}
FROM ${schema}.workflow_queues`,
};

type KnownRow = [
  ...[kind: 'queue' | 'step', name: string, isLimited: boolean, perWorker: number | null],
  ...[hasPlaces: boolean, hasRate: boolean, json: string, revision: string],
];

/** Reads which queues exist, into `database.queues`. */
export async function refreshKnownQueues(database: Database): Promise<void> {
  const rows = await database.query<KnownRow>(READ_KNOWN, []);
  const known = rows.map(([kind, name, isLimited, perWorker, hasPlaces, hasRate, json]): KnownQueue => {
    return { kind, name, isLimited, perWorker, hasPlaces, hasRate, latenessMs: latenessOf(JSON.parse(json) as StepLimitOptions) };
  });
  database.queues.refresh(known, rows[0]?.[7] ?? null);
}

const SWEEP: Statement = {
  name: 'durable_queues_to_sweep',
  text: (schema) => `WITH due AS MATERIALIZED (
  SELECT q.name FROM ${schema}.workflow_queues q
  WHERE q.kind = 'queue' AND q.swept_at < now() - $1::float8 * interval '1 millisecond' AND NOT q.is_paused
    AND EXISTS (SELECT 1 FROM ${schema}.workflow_runs r WHERE r.place = 'queued' AND r.queue = q.name)
  FOR NO KEY UPDATE SKIP LOCKED
)
UPDATE ${schema}.workflow_queues q SET swept_at = now() FROM due WHERE q.kind = 'queue' AND q.name = due.name RETURNING q.name`,
};

const POSTPONE: Statement = {
  name: 'durable_postpone_sweep',
  text: (schema) => `WITH unlocked AS MATERIALIZED (
  SELECT q.name FROM ${schema}.workflow_queues q WHERE q.kind = 'queue' AND q.name = $1 FOR NO KEY UPDATE SKIP LOCKED
)
UPDATE ${schema}.workflow_queues q SET swept_at = now() + $2::float8 * interval '1 millisecond'
FROM unlocked u WHERE q.kind = 'queue' AND q.name = u.name`,
};

/**
 * Keeps all processes from sweeping a queue for some time, unless an admission has locked the queue
 * or its limits change.
 */
export async function postponeSweep(database: Database, queue: string, ms: number): Promise<void> {
  await database.query(POSTPONE, [queue, ms]);
}

/** Takes the queues with waiting runs that no process has swept lately. */
export async function takeQueuesToSweep(database: Database, notSweptForMs: number): Promise<string[]> {
  return (await database.query<[string]>(SWEEP, [notSweptForMs])).map(([name]) => name);
}
