import type { ShownStatus } from '../../core/run.js';
import type { RunConditions } from '../../core/run-filter.js';

/** Parameter values of an SQL statement whose text is built from parts. */
export class Parameters {
  readonly values: unknown[] = [];

  /**
   * Adds a value, and returns its placeholder for the SQL text. Input of callers never becomes part
   * of the text.
   */
  add(value: unknown, type: 'text' | 'text[]' | 'int' | 'int[]' | 'float8'): string {
    return `$${this.values.push(value)}::${type}`;
  }

  /** Adds a time in milliseconds since the epoch, and returns SQL for it. */
  addTime(ms: number): string {
    return `to_timestamp(${this.add(ms, 'float8')} / 1000)`;
  }
}

type Condition<K extends keyof RunConditions> = (
  value: Exclude<RunConditions[K], undefined>,
  parameters: Parameters,
  schema: string,
) => string;

/**
 * Time by which the creation of a run may appear to be later than its end. Both times come from the
 * clock of the server. After a failover, that is the clock of another server.
 */
const CLOCK_TOLERANCE = `interval '1 hour'`;

/**
 * Functions that build SQL for the conditions of a filter, on runs with the alias `r`. Conditions
 * on the error code or the failed step select failed runs only, so that PostgreSQL can use the
 * index of failed runs. A run that has ended before a moment was also created before this moment.
 * That condition limits the scan of the index of `created_at`.
 */
const CONDITIONS: { readonly [K in keyof RunConditions]-?: Condition<K> } = {
  name: (names, parameters) => `r.name = ANY (${parameters.add(names, 'text[]')})`,
  version: (versions, parameters) => `r.version = ANY (${parameters.add(versions, 'int[]')})`,
  status: statusSql,
  queue: (queues, parameters) => `r.queue = ANY (${parameters.add(queues, 'text[]')})`,
  // `is_blocked` may still be true for runs that have ended, so the status is checked too. Each
  // alternative matches the predicate of an index.
  blocked: (blocked) => `${blocked ? '' : 'NOT '}((r.is_blocked AND r.status = 'waiting') OR (r.is_blocked AND r.status = 'paused'))`,
  parentRunId: (id, parameters) => (id === null ? 'r.parent_run_id IS NULL' : `r.parent_run_id = ${parameters.add(id, 'text')}`),
  schedule: (name, parameters) => `r.schedule = ${parameters.add(name, 'text')}`,
  tags: (tags, parameters, schema) =>
    Object.keys(tags)
      .map((key) => {
        const pair = `t.key = ${parameters.add(key, 'text')} AND t.value = ${parameters.add(tags[key], 'text')}`;
        return `EXISTS (SELECT 1 FROM ${schema}.workflow_tags t WHERE t.run_id = r.id AND ${pair})`;
      })
      .join(' AND '),
  errorCode: (codes, parameters) => failedSql('r.error_code', codes, parameters),
  failedStep: (steps, parameters) => failedSql('r.failed_step', steps, parameters),
  createdAfter: (ms, parameters) => `r.created_at >= ${parameters.addTime(ms)}`,
  createdBefore: (ms, parameters) => `r.created_at < ${parameters.addTime(ms)}`,
  finishedAfter: (ms, parameters) => `r.finished_at >= ${parameters.addTime(ms)}`,
  finishedBefore: (ms, parameters) => {
    const time = parameters.addTime(ms);
    return `r.finished_at < ${time} AND r.created_at < ${time} + ${CLOCK_TOLERANCE}`;
  },
};

/** Builds a condition on a column of failed runs, which other runs do not have. */
function failedSql(column: string, values: readonly string[] | null, parameters: Parameters): string {
  return `r.status = 'failed' AND ${values === null ? `${column} IS NULL` : `${column} = ANY (${parameters.add(values, 'text[]')})`}`;
}

/** Condition of the index of runs by status, which only listings name. True for every run. */
const IS_LISTED = `r.created_at > '-infinity'`;

/**
 * Conditions on statuses that have an index. Each alternative matches the predicate of an index.
 */
const INDEXED_STATUSES: Readonly<Record<Exclude<ShownStatus, 'completed'>, string>> = {
  pending: `(r.status = 'pending' AND r.worker_losses < 2) OR (r.status = 'pending' AND r.worker_losses >= 2)`,
  running: `r.status = 'running'`,
  paused: `r.status = 'paused'`,
  waiting: `(r.status = 'waiting' AND ${IS_LISTED})`,
  failed: `r.status = 'failed'`,
  cancelled: `(r.status = 'cancelled' AND ${IS_LISTED})`,
  continued: `(r.status = 'completed' AND r.continued_as IS NOT NULL AND ${IS_LISTED})`,
};

/** True when an index contains the runs of each status. */
export function areIndexed(statuses: readonly ShownStatus[]): statuses is readonly Exclude<ShownStatus, 'completed'>[] {
  return !statuses.includes('completed');
}

/**
 * Builds the condition for the status that users see. For a run that was continued, users see
 * `continued`, while the column contains `completed`.
 */
function statusSql(statuses: readonly ShownStatus[], parameters: Parameters): string {
  if (areIndexed(statuses)) return `(${statuses.map((status) => INDEXED_STATUSES[status]).join(' OR ')})`;
  const others = statuses.filter((status) => status !== 'continued');
  const stored = `r.status = ANY (${parameters.add(others, 'text[]')})`;
  return statuses.includes('continued') ? stored : `(${stored} AND r.continued_as IS NULL)`;
}

const KEYS = Object.keys(CONDITIONS) as (keyof RunConditions)[];

/**
 * Builds a condition that is true for the runs (alias `r`) that a filter selects. Values of callers
 * are parameters, and never part of the text.
 *
 * @param schema quoted name of the schema
 */
export function conditionsSql(conditions: RunConditions, parameters: Parameters, schema: string): string {
  const parts = KEYS.map((key) => conditionSql(key, conditions, parameters, schema)).filter((part) => part !== undefined);
  return parts.length === 0 ? 'true' : parts.join(' AND ');
}

function conditionSql<K extends keyof RunConditions>(
  key: K,
  conditions: RunConditions,
  parameters: Parameters,
  schema: string,
): string | undefined {
  const value = conditions[key];
  const toSql = CONDITIONS[key] as Condition<K>;
  return value === undefined ? undefined : toSql(value as Exclude<RunConditions[K], undefined>, parameters, schema);
}
