import type { EntityManager } from 'typeorm';

import type { NewEvent } from '../../core/event.js';
import type { Database } from '../database.js';
import type { Journal } from '../journal.js';
import { CALLER_MARK } from './caller-mark.js';

/**
 * Emits an event. Resolves when the event is durable, also when an event with this name and id was
 * emitted before. Events of one name and key become durable in the order of the calls.
 */
export function emitEvent(journal: Journal, event: NewEvent): Promise<void> {
  return new Promise((resolve, reject) => {
    // No id of a run begins with a line break.
    journal.submit({ kind: 'emit', runId: `\nemit:${event.name}\n${event.key ?? ''}`, event }, () => resolve(), reject);
  });
}

/**
 * Emits an event in the caller's transaction. The dispatcher, which sees the event only after the
 * commit, sets the time at which the event happened.
 *
 * @returns true unless an event with this name and id exists
 */
export async function emitInTransaction(database: Database, manager: EntityManager, event: NewEvent): Promise<boolean> {
  const { name, id, key, payload, runId, traceContext } = event;
  const rows = await manager.query<unknown[]>(
    `${CALLER_MARK} WITH emitted AS (
  INSERT INTO ${database.schema}.workflow_events (name, id, key, payload, emitter_run_id, trace_context, happened_at)
  VALUES ($1, $2, $3, $4::json, $5, $6, 'infinity') ON CONFLICT (name, id) DO NOTHING RETURNING 1
)
SELECT 'emitted' AS outcome FROM emitted`,
    [name, id, key, payload, runId, traceContext],
  );
  return rows.length > 0;
}
