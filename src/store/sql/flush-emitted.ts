import { COLUMNS } from '../flush-columns.js';
import { columnList, fromMs, owned, valueList, withoutEpoch, type Section } from './flush-section.js';

/** Inserts emitted events. An event whose name and id exist was emitted before. */
export const emitted: Section = {
  key: 'emitted',
  sql: (schema, rows) => `
  INSERT INTO ${schema}.workflow_events (${columnList(COLUMNS.emitted)})
  SELECT ${valueList(COLUMNS.emitted)} FROM ${rows}
  ON CONFLICT (name, id) DO NOTHING
  RETURNING 1`,
};

const WAIT_COLUMNS = withoutEpoch(COLUMNS.waits);

/**
 * Inserts waits for events. With `since: 'now'`, events count from the time of this statement. The
 * time of a run that continues another one is the start of the first run, because the runs that it
 * continues may have missed events between two waits.
 */
export const eventWaits: Section = {
  key: 'eventWaits',
  sql: (schema, rows) => `
  INSERT INTO ${schema}.workflow_waits (${columnList(WAIT_COLUMNS)}, event_key, event_where, event_since)
  SELECT ${valueList(WAIT_COLUMNS, { wake_at: fromMs('x.wake_at'), opened_at: fromMs('x.opened_at') })}, x.event_key, x.event_where,
    CASE WHEN x.since_ms IS NULL THEN coalesce(own.chain_created_at, own.created_at)
      WHEN x.since_ms = 'infinity' THEN clock_timestamp()
      ELSE ${fromMs('x.since_ms')} END
  FROM session CROSS JOIN ${rows} ${owned(schema)}
  ON CONFLICT (run_id, step_key) DO NOTHING
  RETURNING 1`,
};

/**
 * Records which events steps have received. After a retry, another step may receive an event that
 * a removed step had received.
 */
export const receivedEvents: Section = {
  key: 'receivedEvents',
  sql: (schema, rows) => `
  INSERT INTO ${schema}.workflow_event_receipts (run_id, event_seq, step_key)
  SELECT DISTINCT ON (x.run_id, x.event_seq) x.run_id, x.event_seq, x.step_key FROM session CROSS JOIN ${rows} ${owned(schema)}
  ON CONFLICT (run_id, event_seq) DO UPDATE SET step_key = excluded.step_key
  RETURNING 1`,
};

/**
 * Copies the receipts of a continued run to the run that continues it, as far as their events still
 * exist. The copies name no step, because the steps stay with the continued run. A receipt that
 * this flush writes has a row of its own, because the statement does not see it in the table.
 */
export const continuedReceivers: Section = {
  key: 'continuedReceivers',
  sql: (schema, rows) => `
  INSERT INTO ${schema}.workflow_event_receipts (run_id, event_seq, step_key)
  SELECT DISTINCT x.to_run_id, c.event_seq, '' FROM session CROSS JOIN ${rows} ${owned(schema)}
  CROSS JOIN LATERAL (
    SELECT x.event_seq WHERE x.event_seq IS NOT NULL
    UNION ALL SELECT r.event_seq FROM (
      SELECT event_seq FROM ${schema}.workflow_event_receipts WHERE run_id = x.run_id AND x.event_seq IS NULL OFFSET 0
    ) AS r WHERE (SELECT true FROM ${schema}.workflow_events e WHERE e.seq = r.event_seq LIMIT 1)
  ) AS c
  ON CONFLICT DO NOTHING
  RETURNING 1`,
};
