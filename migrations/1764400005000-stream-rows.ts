import { migration } from './migration.js';

/**
 * Marks the first chunk of each execution of a step, so that a writer and a reader find the chunks
 * of a step without reading those of other steps. Records which streams had their chunks removed.
 */
export const StreamRows1764400005000 = migration(
  'StreamRows1764400005000',
  (schema) => `
ALTER TABLE ${schema}.workflow_stream_chunks
  -- True for the first chunk that an execution of a step, or of run(), has stored. NULL in rows of
  -- earlier versions of the package.
  ADD COLUMN is_first boolean,
  -- Time when the chunks of the stream up to this one were removed. This row stays, without data.
  ADD COLUMN expired_at timestamptz;

CREATE INDEX workflow_stream_chunks_first_idx ON ${schema}.workflow_stream_chunks (run_id, stream, coalesce(step_key, ''), seq)
  WHERE kind <> 'reset' AND is_first IS NOT FALSE;

ALTER TABLE ${schema}.workflow_retention
  -- The retention of streams: the last run that the current round has read, and the time of the
  -- next turn.
  ADD COLUMN streams_after text COLLATE "C",
  ADD COLUMN streams_next_at timestamptz;
`,
  (schema) => `
DROP INDEX ${schema}.workflow_stream_chunks_first_idx;
ALTER TABLE ${schema}.workflow_stream_chunks DROP COLUMN is_first, DROP COLUMN expired_at;
ALTER TABLE ${schema}.workflow_retention DROP COLUMN streams_after, DROP COLUMN streams_next_at;
`,
);
