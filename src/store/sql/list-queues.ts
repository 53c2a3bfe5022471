import type { QueueLimitName } from '../../core/queue-limits.js';
import type { Database, Statement } from '../database.js';
import { waitedLimitsSql } from './places.js';

/** Largest number of runs that a listing of queues counts for each queue. */
const COUNTED = 100_000;

/** A queue with its limits and its runs. Times are in milliseconds since the epoch. */
export interface QueueRow {
  readonly name: string;
  /** JSON texts. */
  readonly declared: string | null;
  readonly override: string | null;
  readonly isPaused: boolean;
  readonly waiting: number;
  readonly places: number;
  /** Places of runs that keep their place while they are suspended. */
  readonly suspendedPlaces: number;
  readonly concurrency: number | null;
  readonly oldestAt: number | null;
}

const listSql = (
  schema: string,
): string => `SELECT q.name, q.declared::text, q.override::text, q.is_paused, w.n::int, p.n::int, p.suspended::int,
  q.concurrency, extract(epoch FROM w.oldest)::float8 * 1000
FROM ${schema}.workflow_queues q CROSS JOIN LATERAL (
  SELECT count(*) AS n, min(x.ready_at) AS oldest FROM (
    SELECT r.ready_at FROM ${schema}.workflow_runs r WHERE r.place = 'queued' AND r.queue = q.name LIMIT ${COUNTED}) AS x
) AS w CROSS JOIN LATERAL (
  SELECT count(*) AS n, count(*) FILTER (WHERE x.status = 'waiting') AS suspended FROM (
    SELECT r.status FROM ${schema}.workflow_runs r WHERE r.place IN ('admitted', 'kept') AND r.queue = q.name LIMIT ${COUNTED}) AS x
) AS p
WHERE q.kind = 'queue' AND ($1::text IS NULL OR q.name = $1) ORDER BY q.name`;

type Row = [
  ...[name: string, declared: string | null, override: string | null, isPaused: boolean],
  ...[waiting: number, places: number, suspendedPlaces: number, concurrency: number | null, oldestAt: number | null],
];

/** Lists queues that have limits, or had limits, with the number of their runs. */
export async function listQueues(database: Database, name: string | null): Promise<QueueRow[]> {
  const rows = await database.read<Row>(listSql(database.schema), [name]);
  return rows.map(([queue, declared, override, isPaused, waiting, places, suspendedPlaces, concurrency, oldestAt]) => {
    return { name: queue, declared, override, isPaused, waiting, places, suspendedPlaces, concurrency, oldestAt };
  });
}

/** Lists runs that wait for a place in a queue, after the given id. */
export async function listQueued(database: Database, queue: string, key: string | null, after: string, limit: number): Promise<string[]> {
  const text = `SELECT id FROM ${database.schema}.workflow_runs
WHERE place = 'queued' AND queue = $1 AND ($2::text IS NULL OR queue_key = $2) AND id > $3 ORDER BY id LIMIT ${limit}`;
  return (await database.read<[string]>(text, [queue, key, after])).map(([id]) => id);
}

/** Queue and key of runs that wait for a place. The key is empty for runs without a key. */
export interface WaitedPlace {
  readonly queue: string;
  readonly key: string;
}

/** Finds the limit for which runs wait, for each queue and key. The pairs must be distinct. */
export async function findWaitedLimits(
  database: Database,
  places: readonly WaitedPlace[],
): Promise<(WaitedPlace & { readonly limit: QueueLimitName })[]> {
  const values = [places.map(({ queue }) => queue), places.map(({ key }) => key)];
  const rows = await database.read<[string, string, QueueLimitName]>(waitedLimitsSql(database.schema), values);
  return rows.map(([queue, key, limit]) => ({ queue, key, limit }));
}

/** Largest number of runs that the health report counts for each queue. */
const HEALTH_COUNTED = 10_000;

const LIMITED: Statement = {
  name: 'durable_limited_queues',
  text: (schema) => `SELECT q.name, w.n::int, extract(epoch FROM w.oldest)::float8 * 1000, p.n::int, q.is_paused
FROM ${schema}.workflow_queues q CROSS JOIN LATERAL (
  SELECT count(*) AS n, min(x.ready_at) AS oldest FROM (
    SELECT r.ready_at FROM ${schema}.workflow_runs r WHERE r.place = 'queued' AND r.queue = q.name LIMIT ${HEALTH_COUNTED}) AS x
) AS w CROSS JOIN LATERAL (
  SELECT count(*) AS n FROM (
    SELECT 1 FROM ${schema}.workflow_runs r WHERE r.place IN ('admitted', 'kept') AND r.queue = q.name LIMIT ${HEALTH_COUNTED}) AS x
) AS p
WHERE q.kind = 'queue' AND q.is_limited ORDER BY q.name LIMIT 1000`,
};

/** Runs of a queue with limits. Times are in milliseconds since the epoch. */
export interface LimitedQueue {
  readonly queue: string;
  readonly waiting: number;
  readonly oldestAt: number | null;
  readonly places: number;
  readonly paused: boolean;
}

/**
 * Counts the runs of each queue with limits. Executes no statement while this process knows no
 * queue with limits.
 */
export async function findLimitedQueues(database: Database): Promise<LimitedQueue[]> {
  if (!database.queues.hasLimits) return [];
  const rows = await database.query<[string, number, number | null, number, boolean]>(LIMITED, []);
  return rows.map(([queue, waiting, oldestAt, places, paused]) => ({ queue, waiting, oldestAt, places, paused }));
}
