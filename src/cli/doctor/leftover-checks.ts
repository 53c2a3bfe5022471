import { QueryTimeoutError, WorkflowError } from '../../core/errors/index.js';
import { findLeftovers, LEFTOVER_TABLES, LEFTOVERS_COUNTED } from '../../store/sql/find-leftovers.js';
import type { Connection } from '../connection.js';
import { ok, warn, type Check, type Finding } from './finding.js';

/** Check for rows of runs that do not exist. It is the last one, because it may take long. */
export const leftoverChecks: readonly Check[] = [{ subject: 'rows of deleted runs', needsSchema: true, run: checkLeftovers }];

async function checkLeftovers({ database }: Connection): Promise<Finding[]> {
  const findings: Finding[] = [];
  for (const table of LEFTOVER_TABLES) {
    const finding = await checkTable(database, table);
    if (finding) findings.push(finding);
  }
  return findings.length > 0 ? findings : [ok('NO_LEFTOVERS', 'Every row belongs to a run that exists.')];
}

async function checkTable(database: Connection['database'], table: string): Promise<Finding | undefined> {
  const condition = `NOT EXISTS (SELECT 1 FROM ${database.schema}.workflow_runs r WHERE r.id = t.run_id)`;
  const sql = `DELETE FROM ${database.schema}.${table} t WHERE ${condition}`;
  try {
    const found = await findLeftovers(database, table);
    if (!found) return undefined;
    const { count, exampleRunId } = found;
    const rows = count < LEFTOVERS_COUNTED ? `${count}` : `${count} or more`;
    return warn(
      'LEFTOVERS',
      `${table} has ${rows} rows of runs that do not exist, such as "${exampleRunId}".`,
      `${sql}. Next time delete as in "Deleting runs" in docs/operations.md.`,
    );
  } catch (error) {
    if (isForbidden(error)) {
      return warn('LEFTOVERS_UNKNOWN', `The role may not read ${table}.`, 'Execute the command as the role of the application.');
    }
    if (!(error instanceof QueryTimeoutError)) throw error;
    return warn(
      'LEFTOVERS_UNKNOWN',
      `${table} is too large to be searched for rows of deleted runs within ${error.timeoutMs / 1_000} s.`,
      `Count them at a quiet time: SELECT count(*) FROM ${database.schema}.${table} t WHERE ${condition}.`,
    );
  }
}

/** True when the role lacks the right to read a table. */
function isForbidden(error: unknown): boolean {
  return error instanceof WorkflowError && (error.cause as { code?: unknown } | undefined)?.code === '42501';
}
