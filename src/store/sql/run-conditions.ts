import type { ShownStatus } from '../../core/run.js';
import type { RunConditions } from '../../core/run-filter.js';

/** The values of a statement whose text is put together from parts. */
export class Parameters {
  readonly values: unknown[] = [];

  /** A reference to the value; nothing that a caller gave is ever part of the text. */
  add(value: unknown, type: 'text' | 'text[]' | 'int' | 'int[]' | 'float8'): string {
    return `$${this.values.push(value)}::${type}`;
  }

  /** A moment, from milliseconds since the epoch. */
  addTime(ms: number): string {
    return `to_timestamp(${this.add(ms, 'float8')} / 1000)`;
  }
}

type Condition<K extends keyof RunConditions> = (
  value: Exclude<RunConditions[K], undefined>,
  parameters: Parameters,
  schema: string,
) => string;

/** Of runs with the alias `r`. A failure's labels are asked of failed runs alone: that is also what its index holds. */
const CONDITIONS: { readonly [K in keyof RunConditions]-?: Condition<K> } = {
  name: (names, parameters) => `r.name = ANY (${parameters.add(names, 'text[]')})`,
  version: (versions, parameters) => `r.version = ANY (${parameters.add(versions, 'int[]')})`,
  status: statusSql,
  queue: (queues, parameters) => `r.queue = ANY (${parameters.add(queues, 'text[]')})`,
  // Runs that have ended may have kept the flag.
  blocked: (blocked) => `${blocked ? '' : 'NOT '}(r.is_blocked AND r.status IN ('waiting', 'paused'))`,
  parentRunId: (id, parameters) => (id === null ? 'r.parent_run_id IS NULL' : `r.parent_run_id = ${parameters.add(id, 'text')}`),
  tags: (tags, parameters, schema) =>
    Object.keys(tags)
      .map((key) => {
        const pair = `t.key = ${parameters.add(key, 'text')} AND t.value = ${parameters.add(tags[key], 'text')}`;
        return `EXISTS (SELECT 1 FROM ${schema}.workflow_tags t WHERE t.run_id = r.id AND ${pair})`;
      })
      .join(' AND '),
  errorCode: (codes, parameters) => `r.status = 'failed' AND r.error_code = ANY (${parameters.add(codes, 'text[]')})`,
  failedStep: (steps, parameters) => `r.status = 'failed' AND r.failed_step = ANY (${parameters.add(steps, 'text[]')})`,
  createdAfter: (ms, parameters) => `r.created_at >= ${parameters.addTime(ms)}`,
  createdBefore: (ms, parameters) => `r.created_at < ${parameters.addTime(ms)}`,
  finishedAfter: (ms, parameters) => `r.finished_at >= ${parameters.addTime(ms)}`,
  finishedBefore: (ms, parameters) => `r.finished_at < ${parameters.addTime(ms)}`,
};

/** The column says `completed` of a run that was continued as another, and people see `continued`. */
function statusSql(statuses: readonly ShownStatus[], parameters: Parameters): string {
  const others = statuses.filter((status) => status !== 'continued');
  const stored = `r.status = ANY (${parameters.add(others, 'text[]')})`;
  if (!statuses.includes('continued')) return others.includes('completed') ? `(${stored} AND r.continued_as IS NULL)` : stored;
  if (others.includes('completed')) return stored;
  return `(${stored} OR (r.status = 'completed' AND r.continued_as IS NOT NULL))`;
}

const KEYS = Object.keys(CONDITIONS) as (keyof RunConditions)[];

/**
 * SQL that is true of the runs (alias `r`) that a filter means: for listings, and for whatever else is to be done with them. The text depends on
 * which conditions there are, never on their values.
 *
 * @param schema quoted
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
