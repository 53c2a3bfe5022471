import type { Database, Statement } from '../../store/database.js';
import { decodeBytes } from '../codec.js';

/** Position and content of a chunk. */
export interface StoredChunk {
  readonly index: number;
  readonly data: Uint8Array;
}

/** State of a stream; undefined for an unknown stream. */
export type StreamState = { readonly tailIndex: number; readonly isClosed: boolean } | undefined;

/** Maximum number of bytes of one read, unless a single chunk is larger. */
const MAX_READ_BYTES = 1_048_576;

/**
 * Appends chunks. The lock on the stream's row numbers the chunks of several writers. A closed
 * stream takes no more.
 */
const APPEND: Statement = {
  name: 'world_append_chunks',
  text: (schema) => `WITH stream AS (
  INSERT INTO ${schema}.world_streams AS s (name, run_id, last_index) SELECT $1::text, $2::text, cardinality($3::bytea[]) - 1
  WHERE (SELECT set_config('lock_timeout', '10s', true)) IS NOT NULL
  ON CONFLICT (name) DO UPDATE SET last_index = s.last_index + cardinality($3::bytea[]), updated_at = now() WHERE NOT s.closed
  RETURNING last_index)
INSERT INTO ${schema}.world_chunks (name, index, data)
SELECT $1::text, stream.last_index - cardinality($3::bytea[]) + chunk.number, chunk.data FROM stream, unnest($3::bytea[]) WITH ORDINALITY chunk (data, number)`,
};

const CLOSE: Statement = {
  name: 'world_close_stream',
  text: (schema) => `INSERT INTO ${schema}.world_streams AS s (name, run_id, closed) SELECT $1::text, $2::text, true
WHERE (SELECT set_config('lock_timeout', '10s', true)) IS NOT NULL
ON CONFLICT (name) DO UPDATE SET closed = true, updated_at = now() WHERE NOT s.closed`,
};

/** Reads chunks from an index on, as many as fit into the bytes; at least one. */
const READ: Statement = {
  name: 'world_read_chunks',
  text: (schema) => `SELECT bounded.index, bounded.data FROM (
  SELECT page.index, page.data, sum(octet_length(page.data)) OVER (ORDER BY page.index) - octet_length(page.data) AS before FROM (
    SELECT c.index, c.data FROM ${schema}.world_chunks c WHERE c.name = $1::text AND c.index >= $2::bigint ORDER BY c.index LIMIT $3::int) page) bounded
WHERE bounded.before < $4::bigint ORDER BY bounded.index`,
};

const STATE: Statement = {
  name: 'world_stream_state',
  text: (schema) => `SELECT last_index, closed FROM ${schema}.world_streams WHERE name = $1`,
};

const LIST: Statement = {
  name: 'world_list_streams',
  text: (schema) => `SELECT name FROM ${schema}.world_streams WHERE run_id = $1 ORDER BY name`,
};

/** Chunks of streams. */
export class StreamStore {
  constructor(private readonly database: Database) {}

  async append(name: string, runId: string, chunks: readonly Uint8Array[]): Promise<void> {
    const buffers = chunks.map((chunk) => Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength));
    await this.database.query(APPEND, [name, runId, buffers]);
  }

  async close(name: string, runId: string): Promise<void> {
    await this.database.query(CLOSE, [name, runId]);
  }

  async read(name: string, from: number, limit: number): Promise<StoredChunk[]> {
    const rows = await this.database.query<[string, string]>(READ, [name, from, limit, MAX_READ_BYTES]);
    return rows.map(([index, data]) => ({ index: Number(index), data: decodeBytes(data) }));
  }

  async state(name: string): Promise<StreamState> {
    const [row] = await this.database.query<[string, boolean]>(STATE, [name]);
    return row && { tailIndex: Number(row[0]), isClosed: row[1] };
  }

  async list(runId: string): Promise<string[]> {
    return (await this.database.query<[string]>(LIST, [runId])).map(([name]) => name);
  }
}
