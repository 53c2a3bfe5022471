import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import pg from 'pg';

import { ExplainingDatabase } from '../../test/support/explaining-database.js';
import { JournalFixture, type OpenJournal } from '../../test/support/faults/journal-fixture.js';
import { checkQueue } from '../core/queue-limits.js';
import { adoptFirst, adoptSlice } from './sql/adopt-runs.js';
import { configureQueue, declareQueue, pauseQueue } from './sql/queues.js';

const CAPPED = { kind: 'queue' as const, name: 'q', json: '{"concurrency":3}', limits: checkQueue({ concurrency: 3 }, 'queues.q') };
const OPEN = { ...CAPPED, json: '{}', limits: checkQueue({}, 'queues.q') };

describe('the first limits of a queue', () => {
  let fixture: JournalFixture;
  let open: OpenJournal;
  let explaining: ExplainingDatabase;
  beforeAll(async () => {
    fixture = await JournalFixture.create();
    open = await fixture.journal();
    explaining = new ExplainingDatabase({ connectionString: fixture.admin.url }, { poolSize: 1 });
    // Runs of several queues, from before any queue had limits.
    await fixture.admin.query(`INSERT INTO durable.workflow_runs
      (id, name, version, queue, status, created_at, start_nonce, input, finished_at, ready_at, wake_at, session_id)
      SELECT 'run-' || to_char(n, 'FM00000'), 'w', 1, CASE WHEN n % 3 = 0 THEN 'other' ELSE 'q' END, s.status, now(), n, '{}',
        CASE WHEN s.status = 'completed' THEN now() END, CASE WHEN s.status = 'pending' THEN now() END,
        CASE WHEN s.status = 'waiting' THEN now() + interval '1 hour' END, CASE WHEN s.status = 'running' THEN 1 END
      FROM generate_series(1, 12000) AS n CROSS JOIN LATERAL (
        SELECT CASE WHEN n % 400 = 1 THEN 'running' WHEN n % 400 = 2 THEN 'pending' WHEN n % 400 = 4 THEN 'waiting' WHEN n % 400 = 5 THEN 'paused' ELSE 'completed' END AS status
      ) AS s`);
  });
  const forget = (): Promise<unknown> =>
    fixture.admin.query(`UPDATE durable.workflow_runs SET status = CASE WHEN place = 'queued' THEN 'pending' ELSE status END, place = NULL
      WHERE place IS NOT NULL`);
  beforeEach(async () => {
    await fixture.admin.query('DELETE FROM durable.workflow_queues');
    await forget();
  });
  afterAll(async () => {
    await explaining.close();
    await fixture.close();
  });

  const adopted = async (queue: string): Promise<Record<string, number>> => {
    const rows = await fixture.admin.query<{ status: string; n: number }>(
      `SELECT CASE WHEN place = 'queued' THEN 'queued' ELSE status END AS status, count(*)::int AS n FROM durable.workflow_runs
      WHERE queue = $1 AND place IS NOT NULL GROUP BY 1`,
      [queue],
    );
    return Object.fromEntries(rows.map(({ status, n }) => [status, n]));
  };
  const sweep = async (): Promise<number> => {
    let slices = 0;
    while ((await adoptSlice(open.database)) === 'more') slices++;
    return slices;
  };

  it('count its executing and due runs at once, by reading these runs alone on tables without statistics', async () => {
    await declareQueue(open.database, CAPPED);
    // The first call of a connection also reads the catalog.
    await adoptFirst(explaining, 'q');
    await forget();
    const buffers: number[] = [];
    const query = explaining.query.bind(explaining);
    explaining.query = async (statement, values) => {
      const rows = await query(statement, values);
      buffers.push(explaining.buffers);
      expect(explaining.plan).not.toContain('Seq Scan');
      return rows as never[];
    };
    await adoptFirst(explaining, 'q');
    expect(buffers).toHaveLength(2);
    expect(Object.keys(await adopted('q')).sort()).toEqual(['queued', 'running']);
    expect(await adopted('other')).toEqual({});
  });

  it.each([
    ['options of the module', () => declareQueue(open.database, CAPPED)],
    ['client.queues.configure', () => configureQueue(open.database, CAPPED)],
    ['a pause', () => pauseQueue(open.database, 'q', 'paused')],
  ] as const)('that come by %s are brought to all its runs in slices', async (_how, limit: () => Promise<unknown>) => {
    await declareQueue(open.database, OPEN);
    expect(await sweep()).toBe(0);
    await limit();
    expect(await sweep()).toBe(3);
    const counts = await adopted('q');
    expect(counts).toEqual({
      running: expect.any(Number),
      queued: expect.any(Number),
      waiting: expect.any(Number),
      paused: expect.any(Number),
    });
    const left = await fixture.admin.query(
      `SELECT 1 FROM durable.workflow_runs WHERE queue = 'q' AND place IS NULL AND finished_at IS NULL`,
    );
    expect(left).toEqual([]);
    expect(await adopted('other')).toEqual({});
    expect(await adoptSlice(open.database)).toBe('done');
  });

  it('reach a run that another transaction has locked, once it is free', async () => {
    await declareQueue(open.database, CAPPED);
    const client = new pg.Client({ connectionString: fixture.admin.url });
    await client.connect();
    await client.query(`BEGIN; SELECT 1 FROM durable.workflow_runs WHERE id = 'run-06004' FOR UPDATE`);
    await sweep();
    expect(await adoptSlice(open.database)).toBe('locked');
    await client.query('ROLLBACK');
    await client.end();
    await sweep();
    const [row] = await fixture.admin.query(`SELECT status, place FROM durable.workflow_runs WHERE id = 'run-06004'`);
    expect(row).toEqual({ status: 'waiting', place: 'outside' });
  });
});
