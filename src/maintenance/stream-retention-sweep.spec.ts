import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';

import { JournalFixture } from '../../test/support/faults/journal-fixture.js';
import { Database, type Statement } from '../store/database.js';
import { readChunks } from '../store/sql/streams.js';
import { StreamRetentionSweep } from './stream-retention-sweep.js';

const DAY_MS = 86_400_000;

describe('the retention of streams', () => {
  let fixture: JournalFixture;
  let database: Database;
  beforeAll(async () => {
    fixture = await JournalFixture.create();
    database = new Database({ connectionString: fixture.admin.url }, { poolSize: 3 });
  });
  beforeEach(() => fixture.admin.query('TRUNCATE durable.workflow_runs, durable.workflow_stream_chunks, durable.workflow_retention'));
  afterAll(async () => {
    await database.close();
    await fixture.close();
  });

  const active = new AbortController().signal;
  const insert = async (id: string, status: string, daysAgo: number, streams: Record<string, number>): Promise<void> => {
    await fixture.admin.query(
      `INSERT INTO durable.workflow_runs (id, name, version, queue, status, created_at, wake_at, finished_at, start_nonce, input)
      SELECT $1, 'w', 1, 'default', $2, at, CASE WHEN $2 = 'waiting' THEN now() + interval '1 year' END, CASE WHEN $2 <> 'waiting' THEN at END, 1, '{}'
      FROM (SELECT now() - $3 * interval '1 day' AS at) AS t`,
      [id, status, daysAgo],
    );
    for (const [stream, count] of Object.entries(streams)) {
      await fixture.admin.query(
        `INSERT INTO durable.workflow_stream_chunks (run_id, stream, seq, kind, step_key, data, bytes, stream_bytes, run_position, epoch, ordinal, is_first)
        SELECT $1, $2, n, 'data', 's', '1', 1, n, 0, 1, n, n = 1 FROM generate_series(1, $3::int) AS n`,
        [id, stream, count],
      );
    }
  };
  const left = async (): Promise<string[]> =>
    (
      await fixture.admin.query<{ text: string }>(
        `SELECT run_id || ' ' || stream || ' ' || count(*) || CASE WHEN bool_or(expired_at IS NOT NULL) THEN ' expired' ELSE '' END AS text
        FROM durable.workflow_stream_chunks GROUP BY run_id, stream ORDER BY 1`,
      )
    ).map(({ text }) => text);
  const nextTurn = (): Promise<unknown[]> => fixture.admin.query('UPDATE durable.workflow_retention SET streams_next_at = now()');

  it('removes all chunks but the last of ended runs, in batches, and keeps those of other runs', async () => {
    await insert('failed', 'failed', 5, { a: 2 });
    await insert('kept', 'completed', 5, { a: 2 });
    await insert('old', 'completed', 5, { a: 2_500, b: 1 });
    await insert('waiting', 'waiting', 5, { a: 2 });
    await insert('young', 'completed', 0.5, { a: 2 });
    await fixture.admin.query(`INSERT INTO durable.workflow_tags (run_id, key, value) VALUES ('kept', 'keep', 'true')`);
    const batches: number[] = [];
    class Counting extends Database {
      override async query<Row extends unknown[]>(statement: Statement, values: unknown[]): Promise<Row[]> {
        const rows = await super.query<Row>(statement, values);
        if (statement.name === 'durable_delete_expired_chunks') batches.push(rows[0]![0] as number);
        return rows;
      }
    }
    const counting = new Counting({ connectionString: fixture.admin.url }, { poolSize: 3 });
    const sweep = new StreamRetentionSweep(counting, { completed: DAY_MS });
    // A round removes one stream of each run.
    while ((await sweep.run(active)) === 0) await nextTurn();
    await counting.close();
    expect(batches).toEqual([1_000, 1_000, 499, 0]);
    expect(await left()).toEqual(['failed a 2', 'kept a 2', 'old a 1 expired', 'old b 1 expired', 'waiting a 2', 'young a 2']);
    // All processes pause before the next round.
    expect(await new StreamRetentionSweep(database, { failed: DAY_MS }).run(active)).toBeUndefined();
    expect(await left()).toContain('failed a 2');
  });

  it('keeps the chunks of a run that an operator retries after the scan', async () => {
    await insert('old', 'completed', 5, { a: 2 });
    class Retrying extends Database {
      override async query<Row extends unknown[]>(statement: Statement, values: unknown[]): Promise<Row[]> {
        const rows = await super.query<Row>(statement, values);
        if (statement.name === 'durable_scan_streams') {
          await fixture.admin.query(
            `UPDATE durable.workflow_runs SET status = 'waiting', finished_at = NULL, wake_at = now() + interval '1 year'`,
          );
        }
        return rows;
      }
    }
    const retrying = new Retrying({ connectionString: fixture.admin.url }, { poolSize: 3 });
    await new StreamRetentionSweep(retrying, { completed: DAY_MS }).run(active);
    await retrying.close();
    expect(await left()).toEqual(['old a 2']);
  });

  it('goes on with later runs when a trigger protects the chunks of one, and reports the error', async () => {
    await insert('a protected run', 'completed', 5, { a: 3 });
    await insert('old', 'completed', 5, { a: 3 });
    await fixture.admin.query(`CREATE FUNCTION durable.protect() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
      RAISE EXCEPTION 'protected'; END $$;
      CREATE TRIGGER protect BEFORE DELETE ON durable.workflow_stream_chunks FOR EACH ROW WHEN (OLD.run_id = 'a protected run')
      EXECUTE FUNCTION durable.protect()`);
    try {
      await expect(new StreamRetentionSweep(database, { completed: DAY_MS }).run(active)).rejects.toThrow('protected');
    } finally {
      await fixture.admin.query('DROP FUNCTION durable.protect CASCADE');
    }
    expect(await left()).toEqual(['a protected run a 3 expired', 'old a 1 expired']);
  });

  it('leaves the beginning of a stream without gaps, and the mark, whenever it stops', async () => {
    await insert('old', 'completed', 5, { a: 2_500 });
    const stopping = new AbortController();
    class Stopping extends Database {
      override async query<Row extends unknown[]>(statement: Statement, values: unknown[]): Promise<Row[]> {
        const rows = await super.query<Row>(statement, values);
        if (statement.name === 'durable_delete_expired_chunks') stopping.abort();
        return rows;
      }
    }
    const interrupted = new Stopping({ connectionString: fixture.admin.url }, { poolSize: 3 });
    await new StreamRetentionSweep(interrupted, { completed: DAY_MS }).run(stopping.signal);
    await interrupted.close();
    const read = async (from: number): Promise<unknown[]> => {
      const [page] = await readChunks(database, [{ runId: 'old', stream: 'a', from }], 10_000);
      return page!.chunks.map(({ index, isExpired }) => (isExpired ? 'expired' : index));
    };
    expect(await read(0)).toEqual([...Array.from({ length: 1_499 }, (_, index) => index), 'expired']);
    expect(await read(2_000)).toEqual(['expired']);
    expect(await read(2_500)).toEqual([]);
    await new StreamRetentionSweep(database, { completed: DAY_MS }).run(active);
    expect(await left()).toEqual(['old a 1 expired']);
  });
});
