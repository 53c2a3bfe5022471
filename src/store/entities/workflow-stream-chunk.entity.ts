import { Column, Entity, PrimaryColumn } from 'typeorm';

/** A chunk that a run has written to one of its streams, or a marker between chunks. */
@Entity({ name: 'workflow_stream_chunks', synchronize: false })
export class WorkflowStreamChunk {
  /** Id of the run. */
  @PrimaryColumn({ name: 'run_id', type: 'text' })
  runId!: string;

  /** Name of the stream. */
  @PrimaryColumn({ type: 'text' })
  stream!: string;

  /** Place of the chunk in the stream, from 1. */
  @PrimaryColumn({ type: 'bigint' })
  seq!: string;

  /**
   * `data` for a chunk. `reset` before the chunks of a new attempt: the earlier chunks of the same
   * step no longer count. `end` when the stream was closed.
   */
  @Column({ type: 'text' })
  kind!: 'data' | 'reset' | 'end';

  /** Key of the step whose body wrote the chunk; null when `run` itself wrote it. */
  @Column({ name: 'step_key', type: 'text', nullable: true })
  stepKey!: string | null;

  /** Number of the step's attempt, from 1. */
  @Column({ type: 'integer', nullable: true })
  attempt!: number | null;

  /** The chunk's value in the stored form; null for a marker. */
  @Column({ type: 'json', nullable: true })
  data!: unknown;

  /** Size of the stored value, in bytes. */
  @Column({ type: 'integer' })
  bytes!: number;

  /** Size of the stream up to this chunk, in bytes. */
  @Column({ name: 'stream_bytes', type: 'bigint' })
  streamBytes!: string;

  /** Position of the last write of `run` up to this chunk. */
  @Column({ name: 'run_position', type: 'bigint' })
  runPosition!: string;

  /** Number of times that the run had been claimed when the chunk was written. */
  @Column({ type: 'integer' })
  epoch!: number;

  /** Number that the writing process gave the chunk. */
  @Column({ type: 'bigint' })
  ordinal!: string;

  /**
   * True for the first chunk that an execution of a step, or of `run`, has stored; null in rows of
   * earlier versions of the package.
   */
  @Column({ name: 'is_first', type: 'boolean', nullable: true })
  isFirst!: boolean | null;

  /**
   * Time when retention removed the chunks of the stream up to this one. The row of the last chunk
   * stays, without data.
   */
  @Column({ name: 'expired_at', type: 'timestamptz', nullable: true })
  expiredAt!: Date | null;

  /** Time when the chunk was written. */
  @Column({ name: 'created_at', type: 'timestamptz' })
  createdAt!: Date;
}
