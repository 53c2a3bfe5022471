import type { ClientBase } from 'pg';
import type { EntityManager } from 'typeorm';

import type { RunStatus } from '../../core/run.js';
import type { Database, Statement } from '../database.js';
import { currentRunSql, pastSql } from './chains.js';
import { CALLER_MARK } from './caller-mark.js';
import { depthSql } from './inbox-depth.js';
import { MOVES_ON } from './message-kinds.js';
import { TERMINAL } from './run-status.js';

/**
 * Builds SQL that inserts a signal into the inbox of the named run, or of the last run that
 * continues it. The inbox keeps the message until the run takes it. The run log keeps the signal's
 * idempotency key for longer, so that a repeated signal is recognized even after the run took the
 * first one.
 */
function sendSignalSql(schema: string): string {
  return `WITH RECURSIVE run AS MATERIALIZED (
  SELECT id, status FROM ${currentRunSql(schema, '$1', 'id, status')} AS current
), ${pastSql(schema, '(SELECT id FROM run WHERE $4::text IS NOT NULL)')}, ${depthSql(schema, 'run', '$6', '$3')}, logged AS (
  INSERT INTO ${schema}.workflow_run_log (run_id, kind, name, idempotency_key, data)
  SELECT id, 'signal_sent', $2, $4, $5::json FROM run
  WHERE status NOT IN ${TERMINAL} AND NOT (SELECT is_full FROM depth)
    AND NOT EXISTS (SELECT 1 FROM past CROSS JOIN LATERAL (
      SELECT 1 FROM ${schema}.workflow_run_log e WHERE e.run_id = past.id AND e.kind = 'signal_sent' AND e.name = $2 AND e.idempotency_key = $4 LIMIT 1
    ) AS e WHERE past.depth > 1)
  ON CONFLICT (run_id, kind, name, idempotency_key) WHERE idempotency_key IS NOT NULL DO NOTHING
  RETURNING run_id
), sent AS (
  INSERT INTO ${schema}.workflow_inbox (run_id, kind, name, payload, place, total, trace_context)
  SELECT run_id, 'signal', $2, $3::json, depth.place, depth.total, $7::text FROM logged, depth RETURNING 1
)
SELECT id, status, CASE WHEN (SELECT is_full FROM depth) THEN 'full' ELSE (SELECT count(*) FROM sent)::text END AS sent FROM run`;
}

const SEND_SIGNAL: Statement = { name: 'durable_send_signal', text: sendSignalSql };

/** A signal to send. The payload is JSON text. */
export interface OutgoingSignal {
  readonly runId: string;
  readonly name: string;
  readonly payload: string;
  readonly idempotencyKey: string | null;
  /** JSON text that says who sends the signal and why. Null when the sender is unknown. */
  readonly note: string | null;
  /** Trace context of the send, in the stored form; absent or null when the send is not traced. */
  readonly traceContext?: string | null;
}

/** Outcome of sending a signal. */
export interface SignalSent {
  /** Run that received the signal: the named run, or its continuation. */
  readonly runId: string;
  /** Status of the run before the signal. */
  readonly status: RunStatus;
  /**
   * True when this call inserted the message. False when the key was used before, the run has
   * ended, or the inbox is full.
   */
  readonly isNew: boolean;
  /** True when too many messages already wait for the run, so that this one was not sent. */
  readonly isFull: boolean;
}

/**
 * Lists the parameter values of the statement that sends a signal.
 *
 * @param weight number of messages that this message represents, because the inbox is measured for
 * a sample of the messages only; 0 when this message is not in the sample
 */
function signalValues({ runId, name, payload, idempotencyKey, note, traceContext }: OutgoingSignal, weight: number): unknown[] {
  return [runId, name, payload, idempotencyKey, note, weight, traceContext ?? null];
}

function toSent(
  database: Database,
  signal: OutgoingSignal,
  weight: number,
  row: { id: string; status: RunStatus; sent: string },
): SignalSent {
  const isFull = row.sent === 'full';
  if (weight > 0) database.inboxSampling.found(signal.runId, isFull ? 'full' : 'hasRoom');
  return { runId: row.id, status: row.status, isNew: row.sent === '1', isFull };
}

/**
 * Inserts a signal into the inbox of a run, or of the last run that continues it. The caller must
 * notify the run with a separate statement. Undefined when no run has this id.
 */
export async function sendSignal(database: Database, signal: OutgoingSignal, client?: ClientBase): Promise<SignalSent | undefined> {
  const weight = database.inboxSampling.weightOf(signal.runId, signal.payload.length);
  const values = signalValues(signal, weight);
  const [row] = client
    ? await database.query<[string, RunStatus, string]>(SEND_SIGNAL, values, client)
    : await database.deliver<[string, RunStatus, string]>(SEND_SIGNAL, values);
  return row && toSent(database, signal, weight, { id: row[0], status: row[1], sent: row[2] });
}

/**
 * Inserts a signal into the inbox of a run, or of the last run that continues it, in the caller's
 * transaction. The caller must notify the run after the commit. Undefined when the transaction sees
 * no run with this id.
 */
export async function sendSignalInTransaction(
  database: Database,
  manager: EntityManager,
  signal: OutgoingSignal,
): Promise<SignalSent | undefined> {
  const weight = database.inboxSampling.weightOf(signal.runId, signal.payload.length);
  const text = `${CALLER_MARK} ${sendSignalSql(database.schema)}`;
  const [row] = await manager.query<{ id: string; status: RunStatus; sent: string }[]>(text, signalValues(signal, weight));
  return row && toSent(database, signal, weight, row);
}

/**
 * Moves the messages of a continued run to the last run that continues it. The messages get new
 * ids, because the continuation may already have read its inbox beyond the old ids.
 */
const FORWARD: Statement = {
  name: 'durable_forward_messages',
  text: (schema) => `WITH successor AS MATERIALIZED (
  SELECT id FROM ${currentRunSql(schema, '$1', 'id')} AS current WHERE id <> $1
), moved AS (
  UPDATE ${schema}.workflow_inbox i SET run_id = successor.id, id = DEFAULT FROM successor WHERE i.run_id = $1 AND i.kind IN ${MOVES_ON} RETURNING i.run_id
)
SELECT DISTINCT run_id FROM moved`,
};

/**
 * Moves messages to the continuation of a run, if they reached the run while it was being
 * continued. Returns the id of the continuation; undefined when no message has moved.
 */
export async function forwardMessages(database: Database, runId: string): Promise<string | undefined> {
  const [row] = await database.deliver<[string]>(FORWARD, [runId], 'first');
  return row?.[0];
}
