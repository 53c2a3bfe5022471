import type { ScheduleOverlap } from '../core/schedules/schedule-types.js';

/** A row of `workflow_schedules`. Times are milliseconds since the epoch. */
export interface ScheduleRow {
  readonly name: string;
  readonly workflow: string;
  readonly cron: string | null;
  readonly everyMs: number | null;
  readonly timezone: string;
  readonly anchorAt: number;
  readonly startAt: number | null;
  readonly endAt: number | null;
  readonly jitterMs: number;
  readonly overlap: ScheduleOverlap;
  readonly catchUp: 'none' | 'last' | 'all';
  readonly catchUpLimit: number;
  /** Input of the runs, in the stored form. */
  readonly input: string;
  readonly tags: Readonly<Record<string, string>>;
  readonly dueAt: number | null;
  readonly fireAt: number | null;
  readonly queuedAt: number | null;
  readonly openRuns: readonly string[];
  readonly lastDueAt: number | null;
  readonly lastRunId: string | null;
  readonly skipped: number;
  readonly failures: number;
  readonly lastError: string | null;
  readonly pausedAt: number | null;
  readonly pauseReason: string | null;
  readonly resumeAt: number | null;
  /** Digest of the `@Schedule`; null when the client created the schedule. */
  readonly definition: string | null;
  readonly deploymentId: string | null;
  readonly replacedDeployments: readonly string[];
  readonly declaredUntil: number | null;
  readonly isUndeclared: boolean;
  readonly createdAt: number;
  readonly updatedAt: number;
}

type Kind = 'text' | 'number' | 'time' | 'json' | 'jsonText' | 'texts' | 'boolean';

/** Columns of the table, with the field and the kind of each. */
const FIELDS: readonly (readonly [field: keyof ScheduleRow, column: string, kind: Kind])[] = [
  ['name', 'name', 'text'],
  ['workflow', 'workflow', 'text'],
  ['cron', 'cron', 'text'],
  ['everyMs', 'every_ms', 'number'],
  ['timezone', 'timezone', 'text'],
  ['anchorAt', 'anchor_at', 'time'],
  ['startAt', 'start_at', 'time'],
  ['endAt', 'end_at', 'time'],
  ['jitterMs', 'jitter_ms', 'number'],
  ['overlap', 'overlap', 'text'],
  ['catchUp', 'catch_up', 'text'],
  ['catchUpLimit', 'catch_up_limit', 'number'],
  ['input', 'input', 'jsonText'],
  ['tags', 'tags', 'json'],
  ['dueAt', 'due_at', 'time'],
  ['fireAt', 'fire_at', 'time'],
  ['queuedAt', 'queued_at', 'time'],
  ['openRuns', 'open_runs', 'texts'],
  ['lastDueAt', 'last_due_at', 'time'],
  ['lastRunId', 'last_run_id', 'text'],
  ['skipped', 'skipped', 'number'],
  ['failures', 'failures', 'number'],
  ['lastError', 'last_error', 'text'],
  ['pausedAt', 'paused_at', 'time'],
  ['pauseReason', 'pause_reason', 'text'],
  ['resumeAt', 'resume_at', 'time'],
  ['definition', 'definition', 'text'],
  ['deploymentId', 'deployment_id', 'text'],
  ['replacedDeployments', 'replaced_deployments', 'texts'],
  ['declaredUntil', 'declared_until', 'time'],
  ['isUndeclared', 'is_undeclared', 'boolean'],
  ['createdAt', 'created_at', 'time'],
  ['updatedAt', 'updated_at', 'time'],
];

/** Fields that change when runs start. The input, which may be large, is not written again. */
const FIRED: readonly (keyof ScheduleRow)[] = [
  ...(['dueAt', 'fireAt', 'queuedAt', 'openRuns', 'lastDueAt', 'lastRunId', 'skipped', 'failures', 'lastError'] as const),
  ...(['pausedAt', 'pauseReason', 'resumeAt'] as const),
];

/** Fields that a statement writes: all fields, or those that change when runs start. */
export type WrittenFields = 'all' | 'fired';

const writtenFields = (which: WrittenFields): typeof FIELDS =>
  FIELDS.filter(([field]) => (which === 'fired' ? FIRED.includes(field) : field !== 'name' && field !== 'createdAt'));

const read = (alias: string, column: string, kind: Kind): string => {
  if (kind === 'time') return `extract(epoch FROM ${alias}.${column})::float8 * 1000`;
  return kind === 'jsonText' ? `${alias}.${column}::text` : `${alias}.${column}`;
};

/**
 * Builds SQL for the row as JSON text. `json_build_object` takes at most 100 arguments, which is
 * more than the table needs.
 */
export function scheduleJson(alias: string): string {
  return `json_build_object(${FIELDS.map(([field, column, kind]) => `'${field}', ${read(alias, column, kind)}`).join(', ')})::text`;
}

/** Converts JSON text that `scheduleJson` has made. Times lose fractions of a millisecond. */
export function toScheduleRow(text: string): ScheduleRow {
  const row = JSON.parse(text) as Record<string, unknown>;
  for (const [field, , kind] of FIELDS) {
    const value = row[field];
    if (kind === 'time' && typeof value === 'number') row[field] = Math.round(value);
  }
  return row as unknown as ScheduleRow;
}

const sqlType = (kind: Kind): string =>
  ({ text: 'text', number: 'float8', time: 'float8', json: 'json', jsonText: 'text', texts: 'text[]', boolean: 'boolean' })[kind];

const written = (column: string, kind: Kind): string => {
  if (kind === 'time') return `to_timestamp(x."${column}" / 1000.0)`;
  return kind === 'jsonText' ? `x."${column}"::json` : `x."${column}"`;
};

const source = (fields: typeof FIELDS, parameter: string): string =>
  `json_to_recordset(${parameter}::json) AS x(${fields.map(([field, , kind]) => `"${field}" ${sqlType(kind)}`).join(', ')})`;

/** Builds an INSERT of the rows in a JSON parameter. An existing name is left as it is. */
export function insertSchedulesSql(schema: string, parameter: string): string {
  return `INSERT INTO ${schema}.workflow_schedules (${FIELDS.map(([, column]) => column).join(', ')})
SELECT ${FIELDS.map(([field, , kind]) => written(field, kind)).join(', ')} FROM ${source(FIELDS, parameter)}
ON CONFLICT (name) DO NOTHING RETURNING name`;
}

/** Builds an UPDATE of rows from a JSON parameter. */
export function updateSchedulesSql(schema: string, parameter: string, which: WrittenFields): string {
  const fields = writtenFields(which);
  const set = fields.map(([field, column, kind]) => `${column} = ${written(field, kind)}`).join(', ');
  const name = FIELDS.filter(([field]) => field === 'name');
  return `UPDATE ${schema}.workflow_schedules s SET ${set} FROM ${source([...name, ...fields], parameter)} WHERE s.name = ANY (ARRAY[x."name"])`;
}

/** Converts rows to the JSON of the parameter, with the fields that the statement writes. */
export function scheduleParameter(rows: readonly ScheduleRow[], which: WrittenFields): string {
  const fields = writtenFields(which).map(([field]) => field);
  return JSON.stringify(rows.map((row) => Object.fromEntries([['name', row.name], ...fields.map((field) => [field, row[field]])])));
}
