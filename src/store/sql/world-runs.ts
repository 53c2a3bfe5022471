import { quoteIdentifier } from '../../../migrations/index.js';
import type { Database, Statement } from '../database.js';

/** Run of a World, as a listing reads it. Times are in milliseconds since the epoch. */
export type WorldRunRow = [
  runId: string,
  workflowName: string,
  deploymentId: string,
  status: string,
  createdAt: number,
  startedAt: number | null,
  completedAt: number | null,
  errorCode: string | null,
];

/** Conditions of a listing of a World's runs. */
export interface WorldRunConditions {
  readonly schema: string;
  readonly workflowName: string | undefined;
  /** Checked status. It becomes part of the text, so that its index can be used. */
  readonly status: 'pending' | 'running' | 'completed' | 'failed' | 'cancelled' | undefined;
  /** Id of the run after which the page begins. */
  readonly after: string | undefined;
  readonly limit: number;
}

/** Codes of a missing schema, a missing table, and a schema that the role may not read. */
const UNREADABLE = new Set(['3F000', '42P01', '42501']);

const milliseconds = (column: string): string => `(extract(epoch FROM ${column}) * 1000)::float8`;

/**
 * Lists runs of a World, newest first. Returns no runs where no World is, or none that may be read.
 */
export async function listWorldRuns(database: Database, conditions: WorldRunConditions): Promise<WorldRunRow[]> {
  const { schema, workflowName, status, after, limit } = conditions;
  const filters: [string, string][] = [];
  if (workflowName !== undefined) filters.push(['workflow_name =', workflowName]);
  if (after !== undefined) filters.push(['run_id <', after]);
  const terms = filters.map(([condition], index) => `${condition} $${index + 1}::text`);
  if (status !== undefined) terms.push(`status = '${status}'`);
  const where = terms.join(' AND ');
  const text = `SELECT run_id, workflow_name, deployment_id, status, ${milliseconds('created_at')}, ${milliseconds('started_at')},
  ${milliseconds('completed_at')}, error_code
FROM ${quoteIdentifier(schema)}.world_runs ${where === '' ? '' : `WHERE ${where}`} ORDER BY run_id DESC LIMIT $${filters.length + 1}::int`;
  try {
    return await database.read<WorldRunRow>(text, [...filters.map(([, value]) => value), limit]);
  } catch (error) {
    if ([error, (error as Error).cause].some((each) => UNREADABLE.has((each as { code?: string } | undefined)?.code ?? ''))) return [];
    throw error;
  }
}

const EXISTS: Statement = {
  name: 'durable_has_world',
  text: () => `SELECT has_schema_privilege(n.oid, 'USAGE') AND has_table_privilege(c.oid, 'SELECT')
FROM pg_catalog.pg_namespace n JOIN pg_catalog.pg_class c ON c.relnamespace = n.oid AND c.relname = 'world_runs' WHERE n.nspname = $1`,
};

/**
 * Returns true when a schema is that of a World whose runs this role may read. Reads only the
 * catalog, because the server logs each failed statement.
 */
export async function hasWorldRuns(database: Database, schema: string): Promise<boolean> {
  const [row] = await database.query<[boolean]>(EXISTS, [schema]);
  return row?.[0] ?? false;
}
