import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';

import { JournalFixture, changeOf, startOf, stepOf, type OpenJournal } from '../../test/support/faults/journal-fixture.js';
import { FaultProxy } from '../../test/support/faults/proxy.js';
import { waitFor } from '../../test/support/wait.js';
import type { ChunkKind } from '../core/stream.js';
import type { Transition } from '../core/transition.js';
import { listStreams, readChunks, readStreamEnd } from './sql/streams.js';
import { takeOver } from './sql/sessions.js';

let ordinals = 0;

interface Chunk {
  readonly kind?: ChunkKind;
  readonly stepKey?: string;
  readonly data?: unknown;
  readonly runPosition?: number;
  readonly ordinal?: number;
  readonly isFirst?: boolean;
}

function chunksOf(runId: string, chunks: readonly Chunk[], { stream = 'answer', epoch = 1 } = {}): Transition {
  return {
    kind: 'chunks',
    runId,
    epoch,
    stream,
    chunks: chunks.map(({ kind = 'data', stepKey = null, data, runPosition, ordinal = ++ordinals, isFirst = kind !== 'reset' }) => {
      const text = data === undefined ? null : JSON.stringify(data);
      const position = runPosition === undefined ? null : String(runPosition);
      const stored = { data: text, bytes: text?.length ?? 0, runPosition: position, ordinal: String(ordinal) };
      return { kind, stepKey, attempt: null, isFirst, ...stored };
    }),
  };
}

describe('the chunks of a stream', () => {
  let fixture: JournalFixture;
  let proxy: FaultProxy;
  let open: OpenJournal;
  beforeAll(async () => {
    fixture = await JournalFixture.create();
    proxy = await FaultProxy.start(fixture.admin.url);
    open = await fixture.journal({ url: proxy.url });
  });
  afterAll(async () => {
    await fixture.close();
    await proxy.stop();
  });

  const stored = async (runId: string, stream = 'answer'): Promise<string[]> =>
    (
      await fixture.admin.query<{ text: string }>(
        `SELECT seq || ' ' || kind || coalesce(' ' || step_key, '') || coalesce(' ' || data::text, '') AS text
         FROM durable.workflow_stream_chunks WHERE run_id = $1 AND stream = $2 ORDER BY seq`,
        [runId, stream],
      )
    ).map(({ text }) => text);

  /** Returns how many entries of an index were read, once the statistics show enough scans. */
  const entriesRead = async (index: string, scans: number): Promise<number> => {
    const flushStatistics = { name: 'flush_statistics', text: () => 'SELECT pg_stat_force_next_flush()' };
    let entries: number | undefined;
    await waitFor(async () => {
      // PostgreSQL 13 and 14 lack the function, and publish their statistics sooner.
      await open.database.query(flushStatistics, []).catch(() => undefined);
      const [row] = await fixture.admin.query<{ scans: number; entries: number }>(
        'SELECT idx_scan::int AS scans, idx_tup_read::int AS entries FROM pg_stat_user_indexes WHERE indexrelname = $1',
        [index],
      );
      if (row!.scans >= scans) ({ entries } = row!);
      return entries !== undefined;
    });
    return entries!;
  };

  it('are numbered per stream, in the flush of other transitions of the run', async () => {
    const id = 'numbered';
    await open.submit(startOf(id, true));
    await Promise.all([
      open.submit(chunksOf(id, [{ data: 1 }, { data: 2 }])),
      open.submit(chunksOf(id, [{ data: 'a' }], { stream: 'other' })),
      open.submit(stepOf(id, 1)),
      open.submit(chunksOf(id, [{ data: 3 }])),
      open.submit(changeOf(id)),
    ]);
    expect(await stored(id)).toEqual(['1 data 1', '2 data 2', '3 data 3']);
    expect(await stored(id, 'other')).toEqual(['1 data "a"']);
    expect(await listStreams(open.database, id)).toMatchObject([
      { name: 'answer', length: 3, bytes: 3 },
      { name: 'other', length: 1, bytes: 3 },
    ]);
  });

  it('are stored once when the answer to their flush was lost', async () => {
    const id = 'lost-answer';
    await open.submit(startOf(id, true));
    await open.submit(chunksOf(id, [{ data: 0 }]));
    const cut = proxy.cutAfterCommit('durable_flush_');
    const written = open.submit(chunksOf(id, [{ data: 1 }, { data: 2 }]));
    await cut;
    await expect(written).resolves.toMatchObject({ outcome: 'done' });
    const cutAgain = proxy.cutAfterCommit('durable_flush_');
    const work = [open.submit(chunksOf(id, [{ data: 3 }])), open.submit(changeOf(id))];
    await cutAgain;
    for (const committed of await Promise.all(work)) expect(committed).toMatchObject({ outcome: 'done' });
    expect(await stored(id)).toEqual(['1 data 0', '2 data 1', '3 data 2', '4 data 3']);
  });

  it('that run() repeats in a later pass are stored once, and those of steps each time', async () => {
    const id = 'replayed';
    await open.submit(startOf(id, true));
    await open.submit(
      chunksOf(id, [
        { data: 'a', runPosition: 1 },
        { data: 'body', stepKey: 's' },
        { data: 'b', runPosition: 2 },
      ]),
    );
    await fixture.admin.query('UPDATE durable.workflow_runs SET epoch = 2 WHERE id = $1', [id]);
    const again = [
      { data: 'a', runPosition: 1 },
      { kind: 'reset', stepKey: 's' },
      { data: 'body', stepKey: 's' },
      { data: 'b', runPosition: 2 },
      { data: 'c', runPosition: 3 },
    ] as const;
    await expect(open.submit(chunksOf(id, again, { epoch: 2 }))).resolves.toMatchObject({ outcome: 'done' });
    expect(await stored(id)).toEqual(['1 data "a"', '2 data s "body"', '3 data "b"', '4 reset s', '5 data s "body"', '6 data "c"']);
  });

  it('are refused under an old epoch, and after a takeover', async () => {
    const id = 'fenced';
    const other = await fixture.journal();
    await other.submit(startOf(id, true));
    await fixture.admin.query('UPDATE durable.workflow_runs SET epoch = 2 WHERE id = $1', [id]);
    await expect(other.submit(chunksOf(id, [{ data: 1 }]))).rejects.toMatchObject({ code: 'FENCED' });
    await takeOver(other.database, [other.sessionId], 'unlocked');
    await expect(other.submit(chunksOf(id, [{ data: 1 }], { epoch: 2 }))).rejects.toMatchObject({ code: 'FENCED' });
    expect(await stored(id)).toEqual([]);
  });

  it('before a reset of the same step are not read, and a reset names the first of them', async () => {
    const id = 'reset';
    await open.submit(startOf(id, true));
    const reset = { kind: 'reset', stepKey: 's' } as const;
    await open.submit(
      chunksOf(id, [
        { kind: 'reset', stepKey: 't' },
        { data: 1, stepKey: 's' },
        { data: 2, runPosition: 1 },
        reset,
        { data: 3, stepKey: 's' },
      ]),
    );
    await open.submit(chunksOf(id, [reset, { data: 4, stepKey: 's' }, { kind: 'end', stepKey: 's' }]));
    const [page] = await readChunks(open.database, [{ runId: id, stream: 'answer', from: 0 }], 100);
    expect(page!.chunks.map(({ index, kind, data, from }) => [index, kind, data ?? from])).toEqual([
      [2, 'data', '2'],
      [5, 'reset', 1],
      [6, 'data', '4'],
      [7, 'end', null],
    ]);
    expect(await readStreamEnd(open.database, id, 'answer')).toMatchObject({ end: { length: 8, closedBy: 's' } });
  });

  it('are read without a scan of the resets of other steps', async () => {
    const id = 'many-resets';
    const steps = 1_000;
    await open.submit(startOf(id, true));
    const written = Array.from({ length: steps }, (_, step) => [
      { data: step, stepKey: `s${step}` },
      { kind: 'reset', stepKey: `s${steps + step}` } as const,
    ]);
    await open.submit(chunksOf(id, written.flat()));
    await fixture.admin.query('ANALYZE durable.workflow_stream_chunks');
    const [page] = await readChunks(open.database, [{ runId: id, stream: 'answer', from: 0 }], 5 * steps);
    expect(page!.chunks).toHaveLength(steps);
    expect(await entriesRead('workflow_stream_chunks_reset_idx', steps)).toBeLessThan(steps);
  });

  it('are stored without resets that would reset nothing', async () => {
    const id = 'needless';
    await open.submit(startOf(id, true));
    const execution = (step: number, isFirst: boolean) => [
      { kind: 'reset', stepKey: `s${step}`, isFirst } as const,
      { data: step, stepKey: `s${step}`, isFirst: true },
      { data: 'more', stepKey: `s${step}`, isFirst: false },
    ];
    await expect(open.submit(chunksOf(id, execution(1, true)))).resolves.toMatchObject({ outcome: 'done' });
    expect(await stored(id)).toEqual(['1 data s1 1', '2 data s1 "more"']);
    await Promise.all([open.submit(chunksOf(id, execution(2, true))), open.submit(chunksOf(id, execution(1, true)))]);
    expect((await stored(id)).slice(2)).toEqual(['3 data s2 2', '4 data s2 "more"', '5 reset s1', '6 data s1 1', '7 data s1 "more"']);
    // Rows of an earlier version of the package have no mark.
    await fixture.admin.query('UPDATE durable.workflow_stream_chunks SET is_first = NULL WHERE run_id = $1', [id]);
    await open.submit(chunksOf(id, execution(2, true)));
    expect((await stored(id))[7]).toBe('8 reset s2');
  });

  it('are read without a scan of the chunks of other steps', async () => {
    const id = 'many-steps';
    const steps = 1_000;
    await open.submit(startOf(id, true));
    const written = Array.from({ length: steps }, (_, step) => [
      { kind: 'reset', stepKey: `s${step}` } as const,
      { data: step, stepKey: `s${step}` },
      { data: step, stepKey: `s${step}`, isFirst: false },
    ]);
    await open.submit(chunksOf(id, written.flat()));
    await fixture.admin.query('ANALYZE durable.workflow_stream_chunks');
    await fixture.admin.query(`SELECT pg_stat_reset_single_table_counters('durable.workflow_stream_chunks_first_idx'::regclass),
      pg_stat_reset_single_table_counters('durable.workflow_stream_chunks_pkey'::regclass)`);
    const [page] = await readChunks(open.database, [{ runId: id, stream: 'answer', from: 0 }], 5 * steps);
    expect(page!.chunks).toHaveLength(2 * steps);
    expect(await entriesRead('workflow_stream_chunks_first_idx', steps)).toBeLessThanOrEqual(2 * steps);
    expect(await entriesRead('workflow_stream_chunks_pkey', 1)).toBeLessThanOrEqual(4 * steps);
  });

  it('are read in pages that are bounded by their number and their bytes', async () => {
    const id = 'pages';
    await open.submit(startOf(id, true));
    await open.submit(
      chunksOf(
        id,
        Array.from({ length: 10 }, () => ({ data: 'x'.repeat(100 << 10) })),
      ),
    );
    const read = async (from: number, limit: number): Promise<unknown> => {
      const [page] = await readChunks(open.database, [{ runId: id, stream: 'answer', from }], limit);
      return [page!.chunks.map(({ index }) => index), page!.rest];
    };
    expect(await read(0, 2)).toEqual([[0, 1], 'cut']);
    expect(await read(0, 100)).toEqual([[0, 1, 2], 'cut']);
    expect(await read(8, 100)).toEqual([[8, 9], 'none']);
    expect(await read(10, 100)).toEqual([[], 'none']);
    // Readers whose chunks did not fit get none or a part now, and the rest with the next query.
    const requests = Array.from({ length: 60 }, (_, index) => ({ runId: id, stream: 'answer', from: index % 2 }));
    const pages = await readChunks(open.database, [...requests, { runId: 'nobody', stream: 'answer', from: 0 }], 100);
    expect(pages[0]).toMatchObject({ status: 'running', rest: 'cut' });
    expect(pages[59]).toBeUndefined();
    expect(pages[60]).toMatchObject({ status: undefined, chunks: [] });
  });
});
