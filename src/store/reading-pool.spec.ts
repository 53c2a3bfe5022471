import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';

import { createTestDatabase, type TestDatabase } from '../../test/support/database.js';
import { seconds, waitFor } from '../../test/support/wait.js';
import { QueryTimeoutError } from '../core/errors/index.js';
import { Database } from './database.js';
import { ReadingPool } from './reading-pool.js';

describe('the reading pool', () => {
  let admin: TestDatabase;
  beforeAll(async () => {
    admin = await createTestDatabase();
    await admin.query('CREATE TABLE things (id int)');
  });
  afterAll(() => admin.drop());

  const withPool = async (
    timeoutMs: number | undefined,
    work: (pool: ReadingPool) => Promise<void>,
    pooler?: 'transaction',
  ): Promise<void> => {
    const pool = new ReadingPool(
      { connectionString: admin.url, application_name: 'questions' },
      pooler,
      timeoutMs === undefined ? {} : { timeoutMs },
    );
    try {
      await work(pool);
    } finally {
      await pool.close();
    }
  };
  /** Longer than a loaded server takes for a trivial query. */
  const timeoutMs = seconds(0.25);
  const connections = async (): Promise<number> => {
    const [row] = await admin.query(`SELECT count(*)::int AS n FROM pg_stat_activity WHERE application_name = 'questions'`);
    return row.n;
  };

  it('opens no connection before the first query, and at most two for six concurrent queries', () =>
    withPool(undefined, async (pool) => {
      expect(await connections()).toBe(0);
      const questions = Array.from({ length: 6 }, (_, index) => pool.query<[number]>('SELECT $1::int, pg_sleep(0.05)', [index]));
      const answers = await Promise.all(questions);
      expect(answers.map(([row]) => row![0])).toEqual([0, 1, 2, 3, 4, 5]);
      expect(await connections()).toBe(2);
    }));

  it.each([undefined, 'transaction'] as const)(
    'gives up a query that takes too long with a typed error, and answers the next (pooler: %s)',
    (pooler) =>
      withPool(
        timeoutMs,
        async (pool) => {
          const error = await pool.query('SELECT pg_sleep(30)', []).catch((thrown: unknown) => thrown);
          expect(error).toBeInstanceOf(QueryTimeoutError);
          expect(error).toMatchObject({ code: 'QUERY_TIMEOUT', timeoutMs });
          expect(await pool.query('SELECT 1', [])).toEqual([[1]]);
        },
        pooler,
      ),
  );

  it('reports the wait for a connection as a timeout of the query only if the server answers other queries', async () => {
    // The connection of the first pool is always in use. That of the second one is never ready.
    let checks = 0;
    const verify = (): Promise<void> => (checks++ === 0 ? Promise.resolve() : new Promise(() => {}));
    const settings = { connectionString: admin.url, application_name: 'questions' };
    const pool = new ReadingPool(settings, undefined, { timeoutMs: 1_000, connections: 1, verify });
    const busy = Array.from({ length: 9 }, () => pool.query('SELECT pg_sleep(0.9)', []).catch(() => undefined));
    const error = await pool.query('SELECT 1', []).catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(QueryTimeoutError);
    expect(error).toMatchObject({ timeoutMs: 6_000 });
    await Promise.all(busy);

    const silent = new ReadingPool(settings, undefined, { timeoutMs: 1, connections: 1, verify });
    void silent.query('SELECT 1', []).catch(() => undefined);
    await expect(silent.query('SELECT 2', [])).rejects.not.toBeInstanceOf(QueryTimeoutError);
    void pool.close();
    void silent.close();
    await waitFor(async () => (await connections()) === 0);
  });

  it.each([undefined, 'transaction'] as const)('refuses writes (pooler: %s)', (pooler) =>
    withPool(
      undefined,
      async (pool) => {
        await expect(pool.query('INSERT INTO things VALUES (1)', [])).rejects.toMatchObject({ code: '25006' });
      },
      pooler,
    ),
  );

  it('leaves plans to the planner, unlike the connections of the hot statements', async () => {
    const database = new Database({ connectionString: admin.url }, { poolSize: 1 });
    try {
      const hot = (setting: string): Promise<unknown> => database.query({ name: setting, text: () => `SHOW ${setting}` }, []);
      expect(await hot('enable_seqscan')).toEqual([['off']]);
      expect(await hot('plan_cache_mode')).toEqual([['force_generic_plan']]);
      expect(await database.read('SHOW enable_seqscan', [])).toEqual([['on']]);
      expect(await database.read('SHOW plan_cache_mode', [])).toEqual([['auto']]);
      expect(await database.read('SHOW jit', [])).toEqual([['off']]);
    } finally {
      await database.close();
    }
    await expect(database.read('SELECT 1', [])).rejects.toMatchObject({ code: 'CLOSED' });
  });

  it('closes its connections when it is closed, even during an unanswered query', async () => {
    const pool = new ReadingPool({ connectionString: admin.url, application_name: 'questions' }, undefined);
    const question = pool.query('SELECT pg_sleep(30)', []).catch((thrown: unknown) => thrown);
    await waitFor(async () => (await connections()) === 1);
    await pool.close();
    expect(await question).toBeInstanceOf(Error);
  });
});
