import { describe, expect, it } from '@jest/globals';
import pg from 'pg';

import { createTestDatabase, type TestDatabase } from '../support/database.js';
import { FaultScene, range, troublesOf } from '../support/faults/fault-workers.js';
import { FaultProxy } from '../support/faults/proxy.js';
import { ServerPair } from '../support/faults/server-pair.js';
import type { SpawnedProcess } from '../support/processes.js';
import { waitFor } from '../support/wait.js';

/**
 * A scene whose database address moves from one server to the other. A third server, which stays,
 * counts bodies.
 */
class FailOverScene {
  private constructor(
    readonly pair: ServerPair,
    readonly address: FaultProxy,
    readonly scene: FaultScene,
  ) {}

  static async create(replication: 'synchronous' | 'asynchronous'): Promise<FailOverScene> {
    const pair = await ServerPair.start(replication);
    const address = await FaultProxy.start(pair.primary.url);
    const pool = new pg.Pool({ connectionString: address.url, max: 3, allowExitOnIdle: true });
    pool.on('error', () => undefined);
    const database: TestDatabase = {
      url: address.url,
      query: async <Row>(sql: string, params?: readonly unknown[]) => (await pool.query(sql, params && [...params])).rows as Row[],
      drop: async () => {
        await pool.end();
        await address.stop();
        await pair.stop();
      },
    };
    return new FailOverScene(pair, address, await FaultScene.create(database, await createTestDatabase()));
  }

  /** Ends the primary, refuses connections for a moment, and points the address to the standby. */
  async failOver(): Promise<void> {
    this.address.refuse();
    await this.pair.failOver();
    this.address.pointTo(this.pair.standby.url);
    this.address.restore();
  }
}

const onPair = (replication: 'synchronous' | 'asynchronous', test: (on: FailOverScene) => Promise<void>) => async (): Promise<void> => {
  const on = await FailOverScene.create(replication);
  try {
    await test(on);
  } finally {
    await on.scene.close();
  }
};

const completed = (scene: FaultScene, ids: readonly string[]): Promise<unknown> =>
  waitFor(
    async () => {
      const rows = await scene.database.query(`SELECT 1 FROM durable.workflow_runs WHERE id = ANY ($1) AND status = 'completed'`, [ids]);
      return rows.length === ids.length;
    },
    { timeoutMs: 20_000, message: 'all to complete' },
  ).catch(async (error: Error) => {
    const rows = await scene.database.query(`SELECT id, status, epoch, session_id FROM durable.workflow_runs WHERE status <> 'completed'`);
    throw new Error(`${error.message}: ${JSON.stringify(rows)}`);
  });

/** Checks that only living workers have sessions, and that no run, wait or message is left. */
async function nothingIsLeft(scene: FaultScene, workers: readonly SpawnedProcess[]): Promise<void> {
  const byNumber = (numbers: readonly number[]): string => [...numbers].sort((a, b) => a - b).join();
  const pids = byNumber(workers.map(({ child }) => child.pid!));
  await waitFor(async () => byNumber(await scene.sessions()) === pids, { message: `no sessions but those of ${pids}` });
  const [left] = await scene.database.query(`SELECT (SELECT count(*)::int FROM durable.workflow_runs WHERE session_id IS NOT NULL) AS owned,
    (SELECT count(*)::int FROM durable.workflow_waits) AS waits, (SELECT count(*)::int FROM durable.workflow_inbox) AS messages`);
  expect(left).toEqual({ owned: 0, waits: 0, messages: 0 });
}

interface Page {
  readonly run_id: string;
  readonly step_key: string;
  readonly seq: number;
  readonly output: string;
}

/** Checks that each run's output equals its recorded steps, in order and without a gap. */
async function pagesAgree(scene: FaultScene, ids: readonly string[]): Promise<void> {
  const runs = await scene.database.query<{ id: string; output: string[] }>(
    'SELECT id, output FROM durable.workflow_runs WHERE id = ANY ($1)',
    [ids],
  );
  const pages = await scene.database.query<Page>(
    'SELECT run_id, step_key, seq, output FROM durable.workflow_steps WHERE run_id = ANY ($1) ORDER BY run_id, seq',
    [ids],
  );
  for (const { id, output } of runs) {
    const own = pages.filter((page) => page.run_id === id);
    expect({ id, keys: own.map((page) => page.step_key) }).toEqual({ id, keys: output.map((_, index) => `page-${index + 1}`) });
    expect(own.map((page) => page.seq)).toEqual(output.map((_, index) => index + 1));
    expect({ id, output }).toEqual({ id, output: own.map((page) => page.output) });
  }
}

/** Ways to notice the failover: the harder one, and both with DURABLE_CHAOS=1. */
const WAYS_TO_NOTICE: [string, boolean][] = [
  ['by a statement', false],
  ...(process.env['DURABLE_CHAOS'] ? [['by the direct connection', true] as [string, boolean]] : []),
];

const LOST = /^WARN worker: the database failed over and lost commits/;

describe('a failover to another server', () => {
  it(
    'loses nothing, and the workers continue, when the new server has every acknowledged commit',
    onPair('synchronous', async (on) => {
      const { scene } = on;
      const ids = range('run-', 60);
      const workers = [await scene.ready({ worker: { concurrency: 25 } }), await scene.ready({ worker: { concurrency: 25 } })];
      await scene.start('adder', { steps: 8, ms: 60 }, ids);
      await waitFor(async () => (await scene.database.query('SELECT 1 FROM durable.workflow_steps')).length > 100);
      await on.failOver();
      await completed(scene, ids);

      const [facts] = await scene.database.query(`SELECT (SELECT count(*)::int FROM durable.workflow_steps) AS steps,
        (SELECT array_agg(DISTINCT output::text) FROM durable.workflow_runs) AS outputs`);
      expect(facts).toEqual({ steps: ids.length * 8, outputs: ['36'] });
      const again = await scene.counts.query(`SELECT run_id, count(*) - count(DISTINCT step_key) AS again FROM bodies
        GROUP BY 1 HAVING count(*) - count(DISTINCT step_key) > 1`);
      expect(again).toEqual([]);
      await scene.start('adder', { steps: 2, ms: 1 }, range('after-', 5));
      await completed(scene, range('after-', 5));
      await nothingIsLeft(scene, workers);
      for (const worker of workers) {
        expect(troublesOf(worker)).toEqual([]);
        expect(worker.stdoutLines.filter((line) => LOST.test(line))).toEqual([]);
      }
    }),
  );

  it.each(WAYS_TO_NOTICE)(
    'repeats the steps that the new server lacks, and leaves no gap in a history, when the workers notice the failover %s',
    (_, listen) =>
      onPair('asynchronous', async (on) => {
        const { scene, pair } = on;
        const first = await scene.ready({ listen, worker: { concurrency: 4 } });
        const page = (id: string, number: number): Promise<string> => first.waitForLine(new RegExp(`^body ${id}/${number}$`));
        const ids = ['midway', 'ended', 'untouched', 'claimed'];
        await scene.start('diary', { pages: 3 }, ['midway', 'ended', 'untouched', 'filler']);
        await Promise.all(['midway', 'ended', 'untouched', 'filler'].map((id) => page(id, 1)));
        await scene.start('diary', { pages: 3 }, ['claimed']);
        await scene.open(['midway/1', 'ended/1', 'untouched/1']);
        await Promise.all(['midway', 'ended', 'untouched'].map((id) => page(id, 2)));
        await pair.caughtUp();
        pair.link.refuse();

        // From here on the standby receives nothing.
        await scene.open(['filler/1', 'filler/2', 'filler/3', 'midway/2', 'ended/2', 'ended/3']);
        await Promise.all([page('midway', 3), page('claimed', 1), completed(scene, ['ended', 'filler'])]);
        await scene.open(['claimed/1']);
        await page('claimed', 2);
        await scene.start('diary', { pages: 1 }, ['unborn']);
        await page('unborn', 1);
        const vanished = expect(scene.application.client.getHandle('unborn').result()).rejects.toMatchObject({ code: 'RUN_NOT_FOUND' });
        const second = await scene.ready({ listen, worker: { concurrency: 4 } });
        await on.failOver();
        await first.waitForLine(LOST);

        await scene.open([...ids, 'filler', 'unborn', 'new'].flatMap((id) => [`${id}/1`, `${id}/2`, `${id}/3`]));
        await completed(scene, [...ids, 'filler']);
        await pagesAgree(scene, [...ids, 'filler']);
        // Steps on the second server are not repeated. A run that it lacks was never started.
        expect(await scene.pidsOf('untouched', 'page-1')).toHaveLength(1);
        expect(await scene.pidsOf('midway', 'page-1')).toHaveLength(1);
        await vanished;
        expect(await scene.database.query(`SELECT 1 FROM durable.workflow_runs WHERE id = 'unborn'`)).toEqual([]);
        await scene.start('diary', { pages: 2 }, ['unborn', 'new']);
        await completed(scene, ['unborn', 'new']);
        await pagesAgree(scene, ['unborn', 'new']);
        await nothingIsLeft(scene, [first, second]);
        for (const worker of [first, second]) expect(troublesOf(worker)).toEqual([]);
        const losses = await scene.database.query('SELECT id FROM durable.workflow_runs WHERE worker_losses > 0');
        if (listen) expect(losses).toEqual([]);
      })(),
  );
});
