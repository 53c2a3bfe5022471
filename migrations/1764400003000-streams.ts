import { migration } from './migration.js';

/** Adds the chunks that runs write to their streams. */
export const Streams1764400003000 = migration(
  'Streams1764400003000',
  (schema) => `
-- What runs write to their streams, in the order of seq: a sequence of its own for each stream.
CREATE TABLE ${schema}.workflow_stream_chunks (
  run_id text COLLATE "C" NOT NULL,
  stream text COLLATE "C" NOT NULL,
  seq bigint NOT NULL,
  kind text COLLATE "C" NOT NULL,
  -- The step whose body wrote the chunk, and its attempt; NULL when run() itself wrote it.
  step_key text COLLATE "C",
  attempt integer,
  data json,
  bytes integer NOT NULL,
  -- Bytes of the stream up to this chunk.
  stream_bytes bigint NOT NULL,
  -- Position of the last write of run() up to this chunk. A replay repeats these writes, and only
  -- those beyond this position are stored.
  run_position bigint NOT NULL,
  -- The claim that wrote the chunk, and the writer's number of the chunk: a flush whose answer was
  -- lost is repeated, and stores no chunk twice.
  epoch integer NOT NULL,
  ordinal bigint NOT NULL,
  created_at timestamptz NOT NULL DEFAULT now(),
  CONSTRAINT workflow_stream_chunks_pkey PRIMARY KEY (run_id, stream, seq),
  CONSTRAINT workflow_stream_chunks_kind CHECK (kind IN ('data', 'reset', 'end'))
) WITH (autovacuum_vacuum_insert_scale_factor = 0.1);

-- Readers skip the chunks before a reset of the same step.
CREATE INDEX workflow_stream_chunks_reset_idx ON ${schema}.workflow_stream_chunks (run_id, stream, coalesce(step_key, ''), seq)
  WHERE kind = 'reset';
`,
  (schema) => `
DROP TABLE ${schema}.workflow_stream_chunks;
`,
);
