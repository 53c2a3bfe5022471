import { LISTENER_WORKFLOW_PREFIX } from '../../core/run-events.js';

/** SQL expressions for the event of a row of `from`. */
export interface RecordedEvents {
  /**
   * Common table expression, or list of tables, whose rows have the events. Alias `r` has the
   * columns `id`, `name`, `version`, `queue`, `generation`, `status`, `created_at`, `started_at`
   * and `start_nonce` of the run.
   */
  readonly from: string;
  /** Condition for rows with an event. (default: all rows) */
  readonly where?: string;
  /** Name of the event; NULL for a row without an event. */
  readonly event: string;
  /** Stored error. (default: no error) */
  readonly error?: string;
  /** Further facts, as arguments of `json_build_object`. (default: none) */
  readonly facts?: string;
}

/** Columns of `workflow_runs` that an event records. */
const EVENT_COLUMNS = ['id', 'name', 'version', 'queue', 'generation', 'status', 'created_at', 'started_at', 'start_nonce'] as const;

/** Lists the columns of a run that an event records, for RETURNING. */
export const eventColumns = (alias: string): string => EVENT_COLUMNS.map((column) => `${alias}.${column}`).join(', ');

/** SQL for a time in milliseconds since the epoch. */
const ms = (column: string): string => `floor(extract(epoch FROM ${column})::float8 * 1000)`;

/**
 * Builds an INSERT that records events for the listeners that receive them. The statement that
 * makes the fact durable contains the INSERT, so the fact and its events commit together. The
 * columns of the fact's UPDATE come from RETURNING. So the statement records no event of a run that
 * another transaction has changed meanwhile.
 */
export const recordEvents = (schema: string, { from, where = 'true', event, error = 'NULL::json', facts }: RecordedEvents): string => `
  INSERT INTO ${schema}.workflow_run_events (run_id, listener, event, facts, error)
  SELECT r.id, s.listener, s.event, json_build_object('workflow', r.name, 'version', r.version, 'queue', r.queue,
    'generation', r.generation, 'status', r.status, 'createdAt', ${ms('r.created_at')}, 'startedAt', ${ms('r.started_at')}, 'nonce', r.start_nonce::text${facts === undefined ? '' : `, ${facts}`}), ${error}
  FROM ${from}
  JOIN ${schema}.workflow_subscriptions s ON s.event = ${event} AND s.workflow IN ('', r.name) AND s.expires_at > now()
  WHERE (${where}) AND NOT starts_with(r.name, '${LISTENER_WORKFLOW_PREFIX}')`;

/** Subquery with the names of all events for which a listener exists; NULL without listeners. */
export const listenedEvents = (schema: string): string => `(SELECT array_agg(DISTINCT event) FROM ${schema}.workflow_subscriptions)`;
