import type { Columns, FlushRows } from '../flush-columns.js';

/** SQL that writes one kind of rows in a flush. */
export interface Section {
  readonly key: keyof FlushRows;
  /** Section whose name this section uses in the statement. */
  readonly as?: keyof FlushRows;
  readonly sql: SectionSql<string>;
  /** Further parts of the statement that these rows need, by name. */
  readonly also?: SectionSql<Readonly<Record<string, string>>>;
}

/**
 * @param rows SQL of the rows, with the alias `x`
 * @param has true for kinds of rows that the flush contains
 */
type SectionSql<Result> = (schema: string, rows: string, has: (key: keyof FlushRows) => boolean) => Result;

/**
 * Restricts a section to runs that the session owns under the given epoch. LIMIT makes the planner
 * look up each run, whatever it estimates.
 */
export const owned = (schema: string): string => `CROSS JOIN LATERAL (
    SELECT r.priority, r.created_at, r.chain_created_at, r.start_nonce, r.chain_nonce, r.parent_run_id FROM ${schema}.workflow_runs r
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
 * @param expressions SQL of values that are not written as they are sent, by column
 */
export function valueList(columns: Columns, expressions: Readonly<Record<string, string>> = {}): string {
  return columns.map(([name]) => expressions[name] ?? `x.${name}`).join(', ');
}

/** Columns without the epoch, which only checks the owner. */
export function withoutEpoch(columns: Columns): Columns {
  return columns.filter(([name]) => name !== 'epoch');
}
