import { randomUUID } from 'node:crypto';

import { newRunId } from '../../core/ids.js';
import type { Database, Statement } from '../../store/database.js';
import { decodeJson, encodeJson } from '../codec.js';

/** Message to be stored. */
export interface NewMessage {
  readonly queue: string;
  readonly deploymentId: string;
  readonly body: unknown;
  readonly runId: string | undefined;
  readonly idempotencyKey: string | undefined;
  readonly headers: Record<string, string> | undefined;
  readonly delaySeconds: number;
  /** Seconds of the lease with which the message is stored: its process delivers it at once. */
  readonly leaseSeconds?: number | undefined;
}

/** Message that was stored, or that was there already. */
export interface StoredMessage {
  readonly messageId: string;
  readonly isNew: boolean;
  /** The claim of a new message that was stored with a lease. */
  readonly claimed?: ClaimedMessage;
}

/** Place of a message in its deliveries. It makes the id of an announcement unique. */
export interface Announcement {
  readonly id: string;
  readonly queue: string;
  readonly runId: string | undefined;
  readonly headers: Record<string, string>;
  readonly failures: number;
  /** Number of announcements before. */
  readonly announced: number;
}

/** Message that is being delivered. */
export interface TakenMessage {
  readonly id: string;
  readonly lease: string;
  readonly queue: string;
  readonly body: unknown;
  /** Number of deliveries that failed. */
  readonly failures: number;
}

/** Claimed message, before it is delivered. */
export interface ClaimedMessage extends TakenMessage {
  readonly runId: string | undefined;
  readonly headers: Record<string, string>;
}

const LATER = (seconds: string): string => `now() + ${seconds}::float8 * interval '1 second'`;

const ENQUEUE: Statement = {
  name: 'world_enqueue',
  text: (
    schema,
  ) => `INSERT INTO ${schema}.world_messages (message_id, queue, deployment_id, run_id, idempotency_key, body, headers, due_at, lease, created_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, ${LATER('$8')}, $9, now())
ON CONFLICT DO NOTHING RETURNING message_id`,
};

/**
 * Gives a message to a run, unless its history has grown, or another sweep has given one for this
 * place of it. $1: message, $2: queue, $3: body, $4: run, $5: place.
 */
const ENQUEUE_LOST: Statement = {
  name: 'world_enqueue_lost',
  text: (schema) => `WITH marked AS (
  UPDATE ${schema}.world_runs SET swept_slot = $5::bigint
  WHERE run_id = $4::text AND last_slot = $5::bigint AND swept_slot IS DISTINCT FROM $5::bigint RETURNING run_id, deployment_id)
INSERT INTO ${schema}.world_messages (message_id, queue, deployment_id, run_id, body, due_at, created_at)
SELECT $1::text, $2::text, marked.deployment_id, marked.run_id, $3::json, now(), now() FROM marked RETURNING message_id`,
};

const BY_KEY: Statement = {
  name: 'world_message_by_key',
  text: (schema) => `SELECT message_id FROM ${schema}.world_messages
WHERE queue = $1::text AND COALESCE(run_id, '') = $2::text AND idempotency_key = $3::text`,
};

/**
 * Claims due messages. The end of the lease is the next time at which the message is due, so that a
 * message whose worker died is found like any other. An expired lease is a failed delivery.
 */
const CLAIM: Statement = {
  name: 'world_claim_messages',
  text: (schema) => `WITH due AS MATERIALIZED (
  SELECT message_id FROM ${schema}.world_messages WHERE deployment_id = $1::text AND due_at <= now() ORDER BY due_at LIMIT $2::int FOR UPDATE SKIP LOCKED)
UPDATE ${schema}.world_messages m
SET failures = m.failures + (m.lease IS NOT NULL)::int, lease = gen_random_uuid()::text, due_at = ${LATER('$3')}
FROM due WHERE m.message_id = due.message_id RETURNING m.message_id, m.lease, m.queue, m.body, m.failures, m.run_id, m.headers`,
};

const TAKE: Statement = {
  name: 'world_take_message',
  text: (schema) => `UPDATE ${schema}.world_messages m SET lease = gen_random_uuid()::text, due_at = ${LATER('$3')}
WHERE m.message_id = $1::text AND m.lease = $2::text RETURNING m.lease, m.queue, m.body, m.failures`,
};

const TAKE_DUE: Statement = {
  name: 'world_take_due_message',
  text: (schema) => `UPDATE ${schema}.world_messages m
SET failures = m.failures + (m.lease IS NOT NULL)::int, lease = gen_random_uuid()::text, due_at = ${LATER('$2')}
WHERE m.message_id = $1::text AND m.due_at <= now() RETURNING m.lease, m.queue, m.body, m.failures`,
};

const EXTEND: Statement = {
  name: 'world_extend_lease',
  text: (schema) => `UPDATE ${schema}.world_messages SET due_at = ${LATER('$3')} WHERE message_id = $1::text AND lease = $2::text`,
};

const DELETE: Statement = {
  name: 'world_delete_message',
  text: (schema) => `DELETE FROM ${schema}.world_messages WHERE message_id = $1::text AND lease = $2::text`,
};

const PUT_OFF: Statement = {
  name: 'world_put_off_message',
  text: (
    schema,
  ) => `UPDATE ${schema}.world_messages SET lease = NULL, due_at = ${LATER('$3')}, failures = failures + $4::int, announced = announced + 1, arranged_at = now()
WHERE message_id = $1::text AND lease = $2::text RETURNING message_id, queue, run_id, headers, failures, announced`,
};

/** Counts the announcement of a message that is not due yet, and that nobody is delivering. */
const ANNOUNCE_EARLY: Statement = {
  name: 'world_announce_early',
  text: (schema) => `UPDATE ${schema}.world_messages SET announced = announced + 1
WHERE message_id = $1::text AND lease IS NULL AND due_at > now()
RETURNING message_id, queue, run_id, headers, failures, announced, extract(epoch FROM due_at - now())::float8`,
};

/**
 * Counts the announcements of messages that are overdue. A message that another sweep has announced
 * just now is left alone.
 */
const ANNOUNCE_OVERDUE: Statement = {
  name: 'world_announce_overdue',
  text: (schema) => `WITH due AS MATERIALIZED (
  SELECT message_id FROM ${schema}.world_messages WHERE deployment_id = $1::text AND due_at <= now() - interval '5 seconds'
    AND arranged_at <= now() - interval '5 seconds' ORDER BY due_at LIMIT $2::int FOR UPDATE SKIP LOCKED)
UPDATE ${schema}.world_messages m SET announced = m.announced + 1, arranged_at = now() FROM due
WHERE m.message_id = due.message_id RETURNING m.message_id, m.queue, m.run_id, m.headers, m.failures, m.announced`,
};

type AnnouncementRow = [id: string, queue: string, runId: string | null, headers: unknown, failures: number, announced: number];

function announcementOf([id, queue, runId, headers, failures, announced]: AnnouncementRow): Announcement {
  return { id, queue, runId: runId ?? undefined, headers: headersOf(headers), failures, announced };
}

function headersOf(stored: unknown): Record<string, string> {
  return (decodeJson(stored) ?? {}) as Record<string, string>;
}

type TakenRow = [lease: string, queue: string, body: unknown, failures: number];

/**
 * Queue of messages with leases. A statement about a delivery names its lease, so that a delivery
 * that lost it changes nothing.
 */
export class MessageStore {
  constructor(private readonly database: Database) {}

  /**
   * Stores a message, unless one with the same key has not been consumed yet. Returns the message's
   * id.
   */
  async enqueue(message: NewMessage): Promise<StoredMessage> {
    const { queue, deploymentId, body, runId = null, idempotencyKey = null, headers = {}, delaySeconds, leaseSeconds } = message;
    const encoded = encodeJson(body)!;
    const lease = leaseSeconds === undefined ? undefined : randomUUID();
    const values = [queue, deploymentId, runId, idempotencyKey, encoded, encodeJson(headers), leaseSeconds ?? delaySeconds, lease ?? null];
    for (;;) {
      const messageId = `msg_${newRunId()}`;
      const [added] = await this.database.query<[string]>(ENQUEUE, [messageId, ...values]);
      if (added && lease !== undefined) {
        // The delivery must not share memory with the caller.
        const stored = decodeJson(JSON.parse(encoded));
        const claimed = { id: messageId, lease, queue, body: stored, failures: 0, runId: message.runId, headers };
        return { messageId, isNew: true, claimed };
      }
      if (added) return { messageId, isNew: true };
      const [found] = await this.database.query<[string]>(BY_KEY, [queue, runId ?? '', idempotencyKey]);
      if (found) return { messageId: found[0], isNew: false };
    }
  }

  /** Gives a message to a run that has lost its own. Returns the message's id, or undefined. */
  async enqueueLost(queue: string, body: unknown, runId: string, slot: string): Promise<string | undefined> {
    const [row] = await this.database.query<[string]>(ENQUEUE_LOST, [`msg_${newRunId()}`, queue, encodeJson(body), runId, slot]);
    return row?.[0];
  }

  async claim(deploymentId: string, limit: number, leaseSeconds: number): Promise<ClaimedMessage[]> {
    type Row = [id: string, ...TakenRow, runId: string | null, headers: unknown];
    const rows = await this.database.query<Row>(CLAIM, [deploymentId, limit, leaseSeconds]);
    return rows.map(([id, lease, queue, body, failures, runId, headers]) => ({
      id,
      lease,
      queue,
      body: decodeJson(body),
      failures,
      runId: runId ?? undefined,
      headers: headersOf(headers),
    }));
  }

  /**
   * Begins the delivery of a claimed message under a lease of its own; undefined when the claim has
   * been used or has expired.
   */
  async take(id: string, lease: string, leaseSeconds: number): Promise<TakenMessage | undefined> {
    return taken(id, await this.database.query<TakenRow>(TAKE, [id, lease, leaseSeconds]));
  }

  /** Claims one message, and begins its delivery; undefined when the message is not due. */
  async takeDue(id: string, leaseSeconds: number): Promise<TakenMessage | undefined> {
    return taken(id, await this.database.query<TakenRow>(TAKE_DUE, [id, leaseSeconds]));
  }

  async extend({ id, lease }: { id: string; lease: string }, leaseSeconds: number): Promise<void> {
    await this.database.query(EXTEND, [id, lease, leaseSeconds]);
  }

  async delete({ id, lease }: { id: string; lease: string }): Promise<void> {
    await this.database.query(DELETE, [id, lease]);
  }

  /**
   * Ends a delivery, so that the message is due again after some seconds. Returns the message;
   * undefined when the delivery has lost its lease.
   */
  async putOff({ id, lease }: { id: string; lease: string }, seconds: number, failures: 0 | 1): Promise<Announcement | undefined> {
    const [row] = await this.database.query<AnnouncementRow>(PUT_OFF, [id, lease, seconds, failures]);
    return row && announcementOf(row);
  }

  /** Counts one more announcement of a message that was announced too early. */
  async announceEarly(id: string): Promise<(Announcement & { delaySeconds: number }) | undefined> {
    type Row = [...AnnouncementRow, delaySeconds: number];
    const [row] = await this.database.query<Row>(ANNOUNCE_EARLY, [id]);
    return row && { ...announcementOf(row.slice(0, 6) as AnnouncementRow), delaySeconds: row[6] };
  }

  /** Counts one more announcement of messages that should have been delivered. */
  async announceOverdue(deploymentId: string, limit: number): Promise<Announcement[]> {
    return (await this.database.query<AnnouncementRow>(ANNOUNCE_OVERDUE, [deploymentId, limit])).map(announcementOf);
  }
}

function taken(id: string, [row]: TakenRow[]): TakenMessage | undefined {
  if (!row) return undefined;
  const [lease, queue, body, failures] = row;
  return { id, lease, queue, body: decodeJson(body), failures };
}
