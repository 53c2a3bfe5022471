import type { Columns } from '../columns.js';
import type { FlushRows } from '../flush-columns.js';

/** One section of the flush statement: the SQL that writes one kind of row, for many runs. */
export interface Section {
  readonly key: keyof FlushRows;
  /** Name of the section in the SQL statement, if it differs from `key`. */
  readonly as?: keyof FlushRows;
  readonly sql: SectionSql<string>;
  /** Common table expressions that `sql` reads, by name. */
  readonly before?: SectionSql<Readonly<Record<string, string>>>;
  /** Further common table expressions that belong to this section, by name. */
  readonly also?: SectionSql<Readonly<Record<string, string>>>;
}

/**
 * Builds the SQL of a section.
 *
 * @param rows SQL that lists the rows to write, with the alias `x`
 * @param has returns true for kinds of rows that the flush contains
 */
type SectionSql<Result> = (schema: string, rows: string, has: (key: keyof FlushRows) => boolean) => Result;

/**
 * Builds a join that keeps only rows of runs that the session owns under the epoch of the row.
 * LIMIT forces the planner to look up each run, even if it estimates another plan to be cheaper.
 */
export const owned = (schema: string): string => `CROSS JOIN LATERAL (
    SELECT r.priority, r.created_at, r.chain_created_at, r.start_nonce, r.chain_nonce, r.parent_run_id, r.schedule, r.due_at FROM ${schema}.workflow_runs r
    WHERE r.id = x.run_id AND r.session_id = session.id AND r.epoch = x.epoch LIMIT 1
  ) AS own`;

export const fromMs = (column: string): string => `to_timestamp(${column} / 1000.0)`;

/** Lists columns for an INSERT. */
export function columnList(columns: Columns): string {
  return columns.map(([name]) => name).join(', ');
}

/**
 * Lists the values of columns for an INSERT.
 *
 * @param expressions SQL for values that must be converted before they are written, by column
 */
export function valueList(columns: Columns, expressions: Readonly<Record<string, string>> = {}): string {
  return columns.map(([name]) => expressions[name] ?? `x.${name}`).join(', ');
}

/** Removes the epoch, which is sent only to check the owner and is not written. */
export function withoutEpoch(columns: Columns): Columns {
  return columns.filter(([name]) => name !== 'epoch');
}
