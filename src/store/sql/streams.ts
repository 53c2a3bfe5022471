import type { RunStatus } from '../../core/run.js';
import type { ChunkKind } from '../../core/stream.js';
import type { Database, Statement } from '../database.js';

/** Facts about a whole stream, which its last row shows. */
export interface StreamEnd {
  /** Number of chunks and markers. */
  readonly length: number;
  readonly bytes: number;
  /** Position of the last write of `run` that is stored. */
  readonly runPosition: number;
  /**
   * Key of the step that closed the stream, or null when `run` closed it. Undefined while the
   * stream is open.
   */
  readonly closedBy: string | null | undefined;
  /**
   * First place from which a reader misses no chunk that retention removed. 0 when retention has
   * removed none, or when chunks follow the removed ones.
   */
  readonly expiredTo: number;
}

/** State of a stream and of its run. */
export interface StoredStream {
  readonly status: RunStatus;
  /** Undefined when the stream has no chunks. */
  readonly end: StreamEnd | undefined;
}

const END: Statement = {
  name: 'durable_read_stream_end',
  text: (schema) => `SELECT r.status, c.seq::float8, c.stream_bytes::float8, c.run_position::float8, c.kind, c.step_key,
  CASE WHEN c.expired_at IS NULL THEN 0 WHEN c.kind = 'data' THEN c.seq ELSE c.seq - 1 END::float8
FROM ${schema}.workflow_runs r
LEFT JOIN LATERAL (
  SELECT seq, stream_bytes, run_position, kind, step_key, expired_at FROM ${schema}.workflow_stream_chunks
  WHERE run_id = $1 AND stream = $2 ORDER BY seq DESC LIMIT 1
) AS c ON true
WHERE r.id = $1`,
};

/** Reads the end of a stream. Returns undefined when the run does not exist. */
export async function readStreamEnd(database: Database, runId: string, stream: string): Promise<StoredStream | undefined> {
  type Row = [
    status: RunStatus,
    seq: number | null,
    bytes: number,
    runPosition: number,
    kind: ChunkKind,
    stepKey: string | null,
    expiredTo: number,
  ];
  const [row] = await database.query<Row>(END, [runId, stream]);
  if (!row) return undefined;
  const [status, length, bytes, runPosition, kind, stepKey, expiredTo] = row;
  if (length === null) return { status, end: undefined };
  return { status, end: { length, bytes, runPosition, closedBy: kind === 'end' ? stepKey : undefined, expiredTo } };
}

const MARK: Statement = {
  name: 'durable_read_stream_mark',
  text: (schema) => `SELECT c.seq::float8 FROM (
  SELECT seq, kind, expired_at FROM ${schema}.workflow_stream_chunks
  WHERE run_id = $1 AND stream = $2 AND seq > $3::bigint ORDER BY seq LIMIT 1
) AS c WHERE c.expired_at IS NOT NULL AND (c.kind = 'data' OR c.seq > $3::bigint + 1)`,
};

/**
 * Finds out whether retention has removed the next chunk of a reader. Returns the place after the
 * removed chunks; undefined when the next chunk is there, or none follows.
 */
export async function readMark(database: Database, { runId, stream, from }: ChunkRequest): Promise<number | undefined> {
  const [row] = await database.query<[number]>(MARK, [runId, stream, from]);
  return row?.[0];
}

/** A stored chunk or marker. */
export interface StoredChunk {
  /** Place in the stream, from 0. */
  readonly index: number;
  readonly kind: ChunkKind;
  readonly stepKey: string | null;
  readonly attempt: number | null;
  /** The value in the stored form; null for a marker. */
  readonly data: string | null;
  /** For a reset: place of the first chunk that no longer counts. */
  readonly from: number | null;
  /** True when retention has removed chunks up to this one that the reader has not got. */
  readonly isExpired: boolean;
}

/** Part of a stream that a reader asks for. */
export interface ChunkRequest {
  readonly runId: string;
  readonly stream: string;
  /** Place of the first chunk, from 0. */
  readonly from: number;
}

/** Chunks for one request. */
export interface ChunkPage {
  /** Status of the run; undefined when the run does not exist. */
  readonly status: RunStatus | undefined;
  readonly chunks: readonly StoredChunk[];
  /** `cut` when the stream may have further chunks that did not fit into the page. */
  readonly rest: 'none' | 'cut';
}

/** Bytes of chunks for one request, and for all requests of one query. */
const PAGE_BYTES = 256 << 10;
const QUERY_BYTES = 8 << 20;

/**
 * Reads chunks for many readers. Leaves out the chunks before a reset of the same step, and resets
 * that reset nothing. Every lookup of chunks goes through the primary key, with a limit. The lookup
 * of a later reset compares the expression of the partial index, to skip the resets of other steps.
 */
const CHUNKS: Statement = {
  name: 'durable_read_chunks',
  text: (schema) => `SELECT q.n::int, q.status, q.seq::float8, q.kind, q.step_key, q.attempt, q.data::text, q.first::float8, q.is_expired,
  q.found > $4::int OR q.page_bytes > ${PAGE_BYTES} OR q.query_bytes > ${QUERY_BYTES}
FROM (
  SELECT x.n, r.status, c.*, count(c.seq) OVER (PARTITION BY x.n) AS found, row_number() OVER (PARTITION BY x.n ORDER BY c.seq) AS place,
    sum(c.bytes) OVER (PARTITION BY x.n) AS page_bytes, sum(c.bytes) OVER () AS query_bytes,
    sum(c.bytes) OVER (PARTITION BY x.n ORDER BY c.seq) - c.bytes AS before_in_page,
    sum(c.bytes) OVER (ORDER BY x.n, c.seq) - c.bytes AS before_in_query
  FROM unnest((SELECT $1::text[]), (SELECT $2::text[]), (SELECT $3::float8[])) WITH ORDINALITY AS x(run_id, stream, start, n)
  LEFT JOIN LATERAL (SELECT status FROM ${schema}.workflow_runs WHERE id = x.run_id LIMIT 1) AS r ON true
  LEFT JOIN LATERAL (
    SELECT k.seq, k.kind, k.step_key, k.attempt, k.data, k.bytes, past.seq AS first,
      k.expired_at IS NOT NULL AND (k.kind = 'data' OR k.seq > x.start::bigint + 1) AS is_expired
    FROM ${schema}.workflow_stream_chunks k
    LEFT JOIN LATERAL (
      SELECT p.seq FROM ${schema}.workflow_stream_chunks p
      WHERE k.kind = 'reset' AND p.run_id = k.run_id AND p.stream = k.stream AND p.seq < k.seq AND p.kind <> 'reset'
        AND p.is_first IS NOT FALSE AND coalesce(p.step_key, '') = coalesce(k.step_key, '')
      ORDER BY p.seq LIMIT 1
    ) AS past ON true
    WHERE k.run_id = x.run_id AND k.stream = x.stream AND k.seq > x.start::bigint
      AND (k.expired_at IS NOT NULL OR (k.kind <> 'reset' OR past.seq IS NOT NULL)
        AND (SELECT true FROM ${schema}.workflow_stream_chunks z
          WHERE z.run_id = k.run_id AND z.stream = k.stream AND z.kind = 'reset' AND z.seq > k.seq
            AND coalesce(z.step_key, '') = coalesce(k.step_key, '')
          LIMIT 1) IS NULL)
    ORDER BY k.seq LIMIT $4::int + 1
  ) AS c ON true
) AS q
WHERE q.seq IS NULL OR (q.place <= $4::int AND q.before_in_page < ${PAGE_BYTES} AND q.before_in_query < ${QUERY_BYTES})
ORDER BY q.n, q.seq`,
};

type ChunkRow = [
  ...[n: number, status: RunStatus | null, seq: number | null, kind: ChunkKind, stepKey: string | null, attempt: number | null],
  ...[data: string | null, first: number | null, isExpired: boolean, isCut: boolean],
];

/**
 * Reads chunks for many readers in one query.
 *
 * @param limit largest number of chunks for one request
 * @returns a page for each request; undefined for requests that did not fit into this query
 */
export async function readChunks(database: Database, requests: readonly ChunkRequest[], limit: number): Promise<(ChunkPage | undefined)[]> {
  const columns = [requests.map(({ runId }) => runId), requests.map(({ stream }) => stream), requests.map(({ from }) => from)];
  const rows = await database.query<ChunkRow>(CHUNKS, [...columns, limit]);
  const pages: ({ status: RunStatus | undefined; chunks: StoredChunk[]; rest: ChunkPage['rest'] } | undefined)[] = requests.map(
    () => undefined,
  );
  for (const [n, status, seq, kind, stepKey, attempt, data, first, isExpired, isCut] of rows) {
    const page = (pages[n - 1] ??= { status: status ?? undefined, chunks: [], rest: 'none' });
    if (seq === null) continue;
    if (isCut) page.rest = 'cut';
    page.chunks.push({ index: seq - 1, kind, stepKey, attempt, data, from: first === null ? null : first - 1, isExpired });
  }
  return pages;
}

/** A stream of a run. */
export interface ListedStream {
  readonly name: string;
  readonly length: number;
  readonly bytes: number;
  readonly isClosed: boolean;
  readonly isExpired: boolean;
  /** Time of the last chunk, in milliseconds since the epoch. */
  readonly writtenAt: number;
}

/**
 * Finds the streams of a run by their first rows, one lookup in the primary key for each, instead
 * of reading all chunks.
 */
const LIST: Statement = {
  name: 'durable_list_streams',
  text: (schema) => `WITH RECURSIVE names AS (
  (SELECT stream FROM ${schema}.workflow_stream_chunks WHERE run_id = $1 ORDER BY stream LIMIT 1)
  UNION ALL
  SELECT (SELECT c.stream FROM ${schema}.workflow_stream_chunks c WHERE c.run_id = $1 AND c.stream > names.stream ORDER BY c.stream LIMIT 1)
  FROM names WHERE names.stream IS NOT NULL
)
SELECT names.stream, c.seq::float8, c.stream_bytes::float8, c.kind = 'end', c.expired_at IS NOT NULL, extract(epoch FROM c.created_at)::float8 * 1000
FROM names CROSS JOIN LATERAL (
  SELECT seq, stream_bytes, kind, expired_at, created_at FROM ${schema}.workflow_stream_chunks
  WHERE run_id = $1 AND stream = names.stream ORDER BY seq DESC LIMIT 1
) AS c ORDER BY names.stream`,
};

/** Lists the streams of a run by name. */
export async function listStreams(database: Database, runId: string): Promise<ListedStream[]> {
  const rows = await database.query<[string, number, number, boolean, boolean, number]>(LIST, [runId]);
  return rows.map(([name, length, bytes, isClosed, isExpired, writtenAt]) => ({ name, length, bytes, isClosed, isExpired, writtenAt }));
}
