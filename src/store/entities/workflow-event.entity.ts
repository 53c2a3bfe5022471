import { Column, Entity, PrimaryColumn } from 'typeorm';

/** An emitted event. `events.retention` decides how long the row is kept. */
@Entity({ name: 'workflow_events', synchronize: false })
export class WorkflowEvent {
  /** Number of the event, in the order of the emits. */
  @PrimaryColumn({ type: 'bigint' })
  seq!: string;

  /** Name of the event. */
  @Column({ type: 'text' })
  name!: string;

  /** Id of the event, unique for its name. */
  @Column({ type: 'text' })
  id!: string;

  /** Key of the event. Null for an event without a key. */
  @Column({ type: 'text', nullable: true })
  key!: string | null;

  /** Payload of the event. */
  @Column({ type: 'json' })
  payload!: unknown;

  /** Time of the emit. */
  @Column({ name: 'emitted_at', type: 'timestamptz' })
  emittedAt!: Date;

  /** Time from which waits may receive the event. Infinity until the transaction has committed. */
  @Column({ name: 'happened_at', type: 'timestamptz' })
  happenedAt!: Date;

  /** Time when the event had reached all its receivers. */
  @Column({ name: 'dispatched_at', type: 'timestamptz', nullable: true })
  dispatchedAt!: Date | null;

  /** Time until which no other process sends the event to its receivers. */
  @Column({ name: 'claimed_until', type: 'timestamptz' })
  claimedUntil!: Date;

  /** Workflows whose runs only a process with their class can start. Null when none is missing. */
  @Column({ name: 'waits_for', type: 'text', array: true, nullable: true })
  waitsFor!: string[] | null;

  /** Id of the run that emitted the event. Null when no run did. */
  @Column({ name: 'emitter_run_id', type: 'text', nullable: true })
  emitterRunId!: string | null;

  /** Trace context of the emit, as in the header `traceparent`. Null without tracing. */
  @Column({ name: 'trace_context', type: 'text', nullable: true })
  traceContext!: string | null;
}
