import type { Database } from '../database.js';

/**
 * A row of the view `workflow_history`. Payloads are JSON text, times are in milliseconds since the
 * epoch.
 */
export interface HistoryRow {
  readonly at: number;
  readonly kind: string;
  readonly stepKey: string | null;
  readonly name: string | null;
  readonly attempt: number | null;
  readonly epoch: number | null;
  readonly startedAt: number | null;
  readonly output: string | null;
  readonly error: string | null;
  /** Details that the store itself recorded; never a payload. */
  readonly data: string | null;
}

/**
 * Position of an event in a run's history. Events are sorted by these three values. `at` is in
 * whole milliseconds.
 */
export interface HistoryPosition {
  readonly at: number;
  readonly rank: number;
  /** A bigint, as text. */
  readonly number: string;
}

type Row = [
  ...[at: number, rank: number, number: string, kind: string, stepKey: string | null, name: string | null],
  ...[attempt: number | null, epoch: number | null, startedAt: number | null],
  ...[output: string | null, error: string | null, data: string | null],
];

/**
 * Reads at most `limit` events of the history of a run, oldest first, each with its position. With
 * `after`, reads the events after this position.
 *
 * @throws QueryTimeoutError when the query takes too long
 */
export async function readHistory(
  database: Database,
  runId: string,
  after: HistoryPosition | undefined,
  limit: number,
): Promise<{ row: HistoryRow; position: HistoryPosition }[]> {
  const later = after === undefined ? '' : 'AND (h.at, h.rank, h.number) > (to_timestamp($3::float8 / 1000), $4::int, $5::bigint)';
  const values = [runId, limit, ...(after === undefined ? [] : [after.at, after.rank, after.number])];
  const rows = await database.read<Row>(
    `SELECT round(extract(epoch FROM h.at) * 1000)::float8, h.rank, h.number::text, h.kind, h.step_key, h.name, h.attempt, h.epoch,
  extract(epoch FROM h.started_at)::float8 * 1000, h.output::text, h.error::text, h.data::text
FROM ${database.schema}.workflow_history h WHERE h.run_id = $1 ${later} ORDER BY h.at, h.rank, h.number LIMIT $2::int`,
    values,
  );
  return rows.map(([at, rank, number, kind, stepKey, name, attempt, epoch, startedAt, output, error, data]) => ({
    row: { at, kind, stepKey, name, attempt, epoch, startedAt, output, error, data },
    position: { at, rank, number },
  }));
}
