import { Column, Entity, PrimaryColumn } from 'typeorm';

import type { MessageKind } from '../../core/message-kinds.js';

/** A message to a run, kept until the run takes it. */
@Entity({ name: 'workflow_inbox', synchronize: false })
export class WorkflowInboxMessage {
  /** Id of the run. */
  @PrimaryColumn({ name: 'run_id', type: 'text' })
  runId!: string;

  /** Id of the message. */
  @PrimaryColumn({ type: 'bigint' })
  id!: string;

  /** Time when the row was created. */
  @Column({ name: 'created_at', type: 'timestamptz' })
  createdAt!: Date;

  /** Kind of the message. */
  @Column({ type: 'text' })
  kind!: MessageKind;

  /**
   * Name of the signal, token of the hook, or key of the step that waits. Null for requests about
   * the whole run.
   */
  @Column({ type: 'text', nullable: true })
  name!: string | null;

  /** Idempotency key of the message: a second message with the same key is not sent. */
  @Column({ name: 'idempotency_key', type: 'text', nullable: true })
  idempotencyKey!: string | null;

  /** Serialized payload. */
  @Column({ type: 'json', nullable: true })
  payload!: unknown;

  /** Size of the payload's text, in bytes. */
  @Column({ type: 'integer', insert: false, update: false })
  size!: number;

  /**
   * Approximate number of messages that have been sent to the run, including this one. Large
   * messages and about one small message in eight store this number. It is null in all other
   * messages.
   */
  @Column({ type: 'bigint', nullable: true })
  place!: string | null;

  /** Approximate size in bytes of the messages that `place` counts. */
  @Column({ type: 'bigint', nullable: true })
  total!: string | null;

  /** W3C trace context of the sender, as in `workflow_runs`. Null when the send was not traced. */
  @Column({ name: 'trace_context', type: 'text', nullable: true })
  traceContext!: string | null;
}
