import { Column, Entity, PrimaryColumn } from 'typeorm';

import type { OpenWait } from '../../core/step.js';

/**
 * Something that a run waits for: a sleep, a signal, a hook, a child run, the next attempt of a
 * failed step, or the end of the cleanup time of a cancelled run. The row is deleted when the wait
 * ends.
 */
@Entity({ name: 'workflow_waits', synchronize: false })
export class WorkflowWait {
  /** Id of the run. */
  @PrimaryColumn({ name: 'run_id', type: 'text' })
  runId!: string;

  /** Key of the step. */
  @PrimaryColumn({ name: 'step_key', type: 'text' })
  stepKey!: string;

  /** Kind of the wait. */
  @Column({ type: 'text' })
  kind!: OpenWait['kind'];

  /** Name of the signal or the event, token of the hook, or run id of the child. */
  @Column({ type: 'text', nullable: true })
  name!: string | null;

  /** Time when a sleep ends or a wait times out. Computed once, when the wait began. */
  @Column({ name: 'wake_at', type: 'timestamptz', nullable: true })
  wakeAt!: Date | null;

  /** Number of failed attempts of the step. */
  @Column({ type: 'integer' })
  attempts!: number;

  /** Time when the wait began. */
  @Column({ name: 'opened_at', type: 'timestamptz' })
  openedAt!: Date;

  /** Key of the awaited event. Null for every key, and for other waits. */
  @Column({ name: 'event_key', type: 'text', nullable: true })
  eventKey!: string | null;

  /** Top-level fields that the payload of the awaited event must have. Null for every payload. */
  @Column({ name: 'event_where', type: 'json', nullable: true })
  eventWhere!: unknown;

  /** Time from which events count. Null for other waits. */
  @Column({ name: 'event_since', type: 'timestamptz', nullable: true })
  eventSince!: Date | null;

  /** Number of the event that was sent to the wait. Null before, and for other waits. */
  @Column({ name: 'event_seq', type: 'bigint', nullable: true })
  eventSeq!: string | null;

  /**
   * True once a process has looked for events that happened before the wait was stored. Null
   * before, and for other waits.
   */
  @Column({ name: 'event_armed', type: 'boolean', nullable: true })
  eventArmed!: boolean | null;
}
