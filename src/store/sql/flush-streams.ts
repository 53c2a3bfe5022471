import { owned, type Section } from './flush-section.js';

/**
 * Builds a condition that is true for a reset that would reset nothing: no earlier execution of the
 * step has written to the stream.
 */
const isNeedless = (schema: string): string => `(x.kind = 'reset' AND x.is_first AND (
      SELECT true FROM ${schema}.workflow_stream_chunks p
      WHERE p.run_id = x.run_id AND p.stream = x.stream AND coalesce(p.step_key, '') = coalesce(x.step_key, '')
        AND p.kind <> 'reset' AND p.is_first IS NOT FALSE LIMIT 1
    ) IS NULL)`;

/**
 * Appends chunks to streams. The statement numbers the chunks after the last stored one, so that a
 * process that continues a run needs no query before its first chunk.
 *
 * The last stored chunk also shows what is already there. Chunks up to its epoch and ordinal come
 * from an earlier try of this flush. Writes of `run` up to its position come from an earlier pass.
 *
 * The statement leaves out needless resets, and counts these as written.
 */
export const streamChunks: Section = {
  key: 'streamChunks',
  before: (schema, rows) => ({
    new_chunks: `
  INSERT INTO ${schema}.workflow_stream_chunks
    (run_id, stream, seq, kind, step_key, attempt, data, bytes, stream_bytes, run_position, epoch, ordinal, is_first)
  SELECT n.run_id, n.stream, n.last_seq + row_number() OVER stream_order, n.kind, n.step_key, n.attempt, n.data, n.bytes,
    n.last_bytes + sum(n.bytes) OVER stream_order, greatest(n.last_position, max(n.run_position) OVER stream_order), n.epoch, n.ordinal, n.is_first
  FROM (
    SELECT x.*, coalesce(last.seq, 0) AS last_seq, coalesce(last.stream_bytes, 0) AS last_bytes, coalesce(last.run_position, 0) AS last_position
    FROM session CROSS JOIN ${rows} ${owned(schema)}
    LEFT JOIN LATERAL (
      SELECT c.seq, c.stream_bytes, c.run_position, c.epoch, c.ordinal FROM ${schema}.workflow_stream_chunks c
      WHERE c.run_id = x.run_id AND c.stream = x.stream ORDER BY c.seq DESC LIMIT 1
    ) AS last ON true
    WHERE (last.seq IS NULL OR x.epoch > last.epoch OR (x.epoch = last.epoch AND x.ordinal > last.ordinal))
      AND (x.run_position IS NULL OR x.run_position > coalesce(last.run_position, 0))
      AND NOT ${isNeedless(schema)}
  ) AS n
  WINDOW stream_order AS (PARTITION BY n.run_id, n.stream ORDER BY n.ordinal)
  ON CONFLICT DO NOTHING
  RETURNING 1`,
  }),
  sql: (schema, rows) => `
  SELECT 1 FROM new_chunks
  UNION ALL SELECT 1 FROM session CROSS JOIN ${rows} ${owned(schema)} WHERE ${isNeedless(schema)}`,
};
