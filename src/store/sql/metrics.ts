import type { Database, Statement } from '../database.js';

/** Maximum number of rows that one part of the query counts. */
const COUNTED = 10_000;

/** Maximum number of listeners whose events are counted, and of events counted for each. */
const LISTENERS = 200;
const EVENTS_COUNTED = 1_000;

/** Maximum number of wake-ups whose runs are looked up. */
const OUTBOX_COUNTED = 1_000;

/**
 * Counts rows that no other query of the health report counts. Each part, or each listener, has a
 * maximum number of rows. The rows are read in the order of a partial index, or of a primary key of
 * a table without ended runs. So the cost depends neither on the number of ended runs nor on
 * statistics of the tables. For the same reason, conditions that no index serves apply to the rows
 * that were read.
 */
const COUNTS: Statement = {
  name: 'durable_metric_counts',
  text: (schema) => {
    const byName = (part: string, condition: string, order: string): string =>
      `SELECT '${part}', r.name, count(*)::float8, NULL::float8 FROM (
  SELECT name FROM ${schema}.workflow_runs WHERE ${condition} ORDER BY ${order} LIMIT ${COUNTED}
) AS r GROUP BY r.name`;
    return `${byName('running', `status = 'running'`, 'session_id')}
UNION ALL ${byName('sleeping', `status = 'waiting' AND wake_at IS NOT NULL`, 'wake_at')}
UNION ALL ${byName('paused', `status = 'paused'`, 'created_at, id')}
UNION ALL ${byName('failed', `status = 'failed' AND finished_at > now() - interval '1 hour'`, 'finished_at DESC')}
UNION ALL SELECT 'wait', w.kind, count(*)::float8, NULL FROM (
  SELECT kind FROM ${schema}.workflow_waits ORDER BY run_id, step_key LIMIT ${COUNTED}
) AS w GROUP BY w.kind
UNION ALL SELECT 'inbox', '', count(*)::float8, extract(epoch FROM now() - min(i.created_at))::float8 FROM (
  SELECT kind, created_at FROM ${schema}.workflow_inbox ORDER BY run_id, id LIMIT ${COUNTED}
) AS i WHERE i.kind <> 'pause'
UNION ALL SELECT 'event', split_part(e.listener, ' ' || e.event, 1), count(*)::float8, extract(epoch FROM now() - min(e.occurred_at))::float8
FROM (${listeners(schema)}) AS l CROSS JOIN LATERAL (
  SELECT listener, event, occurred_at FROM ${schema}.workflow_run_events WHERE listener = l.listener ORDER BY available_at LIMIT ${EVENTS_COUNTED}
) AS e GROUP BY 2
UNION ALL SELECT 'queued', q.name, w.n::float8, extract(epoch FROM now() - w.oldest)::float8
FROM ${schema}.workflow_queues q CROSS JOIN LATERAL (
  SELECT count(*) AS n, min(x.ready_at) AS oldest FROM (
    SELECT r.ready_at FROM ${schema}.workflow_runs r WHERE r.place = 'queued' AND r.queue = q.name LIMIT ${COUNTED}) AS x
) AS w WHERE q.kind = 'queue'
UNION ALL SELECT CASE WHEN x.status = 'waiting' THEN 'suspendedPlace' ELSE 'place' END, q.name, count(*)::float8, NULL
FROM ${schema}.workflow_queues q CROSS JOIN LATERAL (
  SELECT r.status FROM ${schema}.workflow_runs r WHERE r.place IN ('admitted', 'kept') AND r.queue = q.name LIMIT ${COUNTED}
) AS x WHERE q.kind = 'queue' GROUP BY 1, 2
UNION ALL SELECT 'pausedQueue', q.name, q.is_paused::int::float8, NULL FROM ${schema}.workflow_queues q WHERE q.kind = 'queue'
UNION ALL SELECT 'emitted', '', count(*)::float8, extract(epoch FROM now() - min(e.emitted_at))::float8 FROM (
    (SELECT emitted_at FROM ${schema}.workflow_events WHERE dispatched_at IS NULL ORDER BY seq LIMIT ${COUNTED})
    UNION ALL (SELECT emitted_at FROM ${schema}.workflow_events WHERE waits_for IS NOT NULL AND dispatched_at IS NOT NULL ORDER BY seq LIMIT ${COUNTED})
  ) AS e
UNION ALL SELECT 'overdue', s.workflow, count(*)::float8, extract(epoch FROM now() - min(s.fire_at))::float8 FROM (
  SELECT workflow, fire_at FROM ${schema}.workflow_schedules WHERE fire_at < now() ORDER BY fire_at LIMIT ${COUNTED}
) AS s GROUP BY s.workflow
UNION ALL SELECT 'failing', s.workflow, count(*)::float8, NULL FROM (
  SELECT workflow, failures FROM ${schema}.workflow_schedules WHERE fire_at IS NOT NULL ORDER BY fire_at LIMIT ${COUNTED}
) AS s WHERE s.failures > 0 GROUP BY s.workflow
UNION ALL SELECT 'outbox', '', count(r.ready_at)::float8, extract(epoch FROM now() - min(r.ready_at))::float8 FROM (
  SELECT run_id FROM ${schema}.workflow_outbox ORDER BY run_id LIMIT ${OUTBOX_COUNTED}
) AS o LEFT JOIN LATERAL (
  SELECT CASE WHEN status = 'pending' THEN ready_at END AS ready_at FROM ${schema}.workflow_runs WHERE id = o.run_id LIMIT 1
) AS r ON true`;
  },
};

/**
 * SQL that lists the listeners whose events wait. Reads one entry of the index per listener, so a
 * listener with many events does not hide the others.
 */
function listeners(schema: string): string {
  const first = (condition: string): string =>
    `(SELECT listener FROM ${schema}.workflow_run_events ${condition} ORDER BY listener LIMIT 1)`;
  return `WITH RECURSIVE x AS (
  ${first('')} UNION ALL SELECT ${first('WHERE listener > x.listener')} FROM x WHERE x.listener IS NOT NULL
) SELECT listener FROM x LIMIT ${LISTENERS}`;
}

/** Subject that `countForMetrics` counts. `failed` counts runs that failed within the last hour. */
export type CountedPart =
  | 'running'
  | 'sleeping'
  | 'paused'
  | 'failed'
  | 'wait'
  | 'inbox'
  | 'event'
  | 'emitted'
  | 'overdue'
  | 'failing'
  | 'outbox'
  | 'queued'
  | 'place'
  | 'suspendedPlace'
  | 'pausedQueue';

/** Number of rows, and the age of the oldest one in seconds if it is known. */
export interface MetricCount {
  readonly part: CountedPart;
  /** Name of the workflow, queue or listener, or kind of the wait; empty for other parts. */
  readonly label: string;
  readonly count: number;
  readonly ageSeconds: number | null;
}

/** Counts runs, waits, messages and run events for metrics. */
export async function countForMetrics(database: Database): Promise<MetricCount[]> {
  const rows = await database.query<[CountedPart, string, number, number | null]>(COUNTS, []);
  return rows.map(([part, label, count, ageSeconds]) => ({ part, label, count, ageSeconds }));
}
