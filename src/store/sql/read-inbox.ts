import { isLimited, type MessageKind } from '../../core/message-kinds.js';
import type { Database, Statement } from '../database.js';
import { LIMITED, LIMITED_CHANNEL, READ_ONCE, REQUESTS } from './message-kinds.js';

/** A message in a run's inbox that the run has not taken. */
export interface InboxMessage {
  readonly id: string;
  readonly kind: MessageKind;
  /**
   * Name of the signal, token of the hook, key of the step that waits for a child or is resolved,
   * or address of an event.
   */
  readonly name: string | null;
  /** JSON text. */
  readonly payload: string | null;
  /** Trace context of the sender, in the stored form; null when the send was not traced. */
  readonly traceContext: string | null;
}

/**
 * Maximum size in bytes of the signals and hook payloads that one statement reads from an inbox.
 */
const MAX_BYTES = 16 * 1024 * 1024;

/**
 * Reads the inboxes of runs. A message is new when its id is above the run's floor and is not among
 * the known ids.
 *
 * - Requests to cancel, to pause or to resolve a step are read each time.
 * - Messages about the end of a child, and events, are read when they are new.
 * - Of the new signals and hook payloads, the oldest are read, up to the given number and bytes.
 * The row of the next message has no payload, and only shows that more messages wait.
 */
const READ: Statement = {
  name: 'durable_read_inbox',
  text: (schema) => {
    const inbox = `${schema}.workflow_inbox`;
    const isNew = 'm.id > x.floor AND m.id <> ALL ($5::bigint[])';
    return `SELECT x.id, snapshot.xmin, snapshot.xmax, i.id::text, i.kind, i.name, i.fits, CASE WHEN i.fits THEN i.payload::text END, i.trace_context
FROM (SELECT pg_snapshot_xmin(s)::text AS xmin, pg_snapshot_xmax(s)::text AS xmax FROM pg_current_snapshot() AS s) AS snapshot
CROSS JOIN unnest((SELECT $1::text[]), (SELECT $2::bigint[]), (SELECT $3::int[]), (SELECT $4::int[])) AS x(id, floor, room, bytes)
LEFT JOIN LATERAL (
  SELECT m.*, m.bytes_before < x.bytes AND m.rows_before < x.room AND m.bytes_before < ${MAX_BYTES} AS fits FROM (
    (SELECT m.id, m.kind, m.name, m.payload, m.trace_context, 0::bigint AS bytes_before, 0::bigint AS rows_before FROM ${inbox} m
      WHERE m.run_id = x.id AND m.kind NOT IN ${LIMITED} AND m.kind IN ${REQUESTS} OFFSET 0)
    UNION ALL
    (SELECT m.id, m.kind, m.name, m.payload, m.trace_context, 0, 0 FROM ${inbox} m
      WHERE m.run_id = x.id AND m.kind NOT IN ${LIMITED} AND m.kind IN ${READ_ONCE} AND ${isNew} OFFSET 0)
    UNION ALL
    (SELECT m.id, m.kind, m.name, m.payload, m.trace_context, sum(m.size) OVER (ORDER BY m.id) - m.size, row_number() OVER (ORDER BY m.id) - 1 FROM (
      SELECT m.id, m.kind, m.name, m.payload, m.trace_context, m.size FROM ${inbox} m
      WHERE m.run_id = x.id AND m.kind IN ${LIMITED} AND ${isNew}
      ORDER BY m.id LIMIT CASE WHEN x.room > 0 THEN x.room + 1 ELSE 0 END
    ) AS m)
  ) AS m
) AS i ON true
ORDER BY x.id, i.id`;
  },
};

/** A run whose inbox is to be read, and the place where reading begins. */
export interface InboxPlace {
  readonly runId: string;
  /** Id up to which all messages of the run have been read. */
  readonly floor: bigint;
  /** Maximum number of signals and hook payloads to read. */
  readonly room: number;
  /** Approximate maximum size in bytes of these signals and hook payloads together. */
  readonly bytes: number;
}

/** Messages read from a run's inbox, in the order of their ids. */
export interface InboxRead {
  readonly runId: string;
  readonly messages: readonly InboxMessage[];
  /** Id of the first message for which there was no room. Undefined when all messages were read. */
  readonly left: bigint | undefined;
  /**
   * Snapshot of the read, as transaction ids. Transactions before `xmin` had ended, and
   * transactions from `xmax` on had not begun.
   */
  readonly xmin: bigint;
  readonly xmax: bigint;
}

/**
 * Reads the inboxes of runs, in one statement.
 *
 * @param known ids of messages above the `floor` of their run that have already been read
 */
export async function readInboxes(database: Database, places: readonly InboxPlace[], known: readonly string[]): Promise<InboxRead[]> {
  const rows = await database.query<
    [string, string, string, string | null, MessageKind | null, string | null, boolean | null, string | null, string | null]
  >(READ, [
    places.map(({ runId }) => runId),
    places.map(({ floor }) => floor.toString()),
    places.map(({ room }) => room),
    places.map(({ bytes }) => bytes),
    known,
  ]);
  const reads = new Map<string, { runId: string; messages: InboxMessage[]; left: bigint | undefined; xmin: bigint; xmax: bigint }>();
  for (const [runId, xmin, xmax, id, kind, name, fits, payload, traceContext] of rows) {
    let read = reads.get(runId);
    if (!read) reads.set(runId, (read = { runId, messages: [], left: undefined, xmin: BigInt(xmin), xmax: BigInt(xmax) }));
    if (id === null || kind === null) continue;
    if (fits || !isLimited(kind)) read.messages.push({ id, kind, name, payload, traceContext });
    else read.left ??= BigInt(id);
  }
  return [...reads.values()];
}

const READ_CHANNELS: Statement = {
  name: 'durable_read_channels',
  text: (schema) => `SELECT m.id::text, m.kind, m.name, m.payload::text, m.trace_context FROM (
  SELECT m.*, sum(m.size) OVER (ORDER BY m.id) - m.size AS bytes_before FROM (
    SELECT id, kind, name, payload, trace_context, size FROM ${schema}.workflow_inbox
    WHERE run_id = $1 AND kind IN ${LIMITED} AND ${LIMITED_CHANNEL} = ANY ($2::text[]) AND id <> ALL ($3::bigint[])
    ORDER BY id LIMIT $4::int
  ) AS m
) AS m WHERE m.bytes_before < $5::int ORDER BY m.id`,
};

/**
 * Reads the signals and hook payloads that a run waits for, wherever they stand in the inbox.
 * Needed when the inbox contains more messages than may be read.
 *
 * @param channels kind and name of the messages, separated by a colon
 * @param known ids of messages that have already been read
 */
export async function readChannels(
  database: Database,
  runId: string,
  channels: readonly string[],
  known: readonly string[],
  room: { readonly count: number; readonly bytes: number },
): Promise<InboxMessage[]> {
  const values = [runId, channels, known, room.count, room.bytes];
  const rows = await database.query<[string, MessageKind, string | null, string | null, string | null]>(READ_CHANNELS, values);
  return rows.map(([id, kind, name, payload, traceContext]) => ({ id, kind, name, payload, traceContext }));
}
