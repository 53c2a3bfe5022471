import { describe, expect, it } from '@jest/globals';
import pg from 'pg';

import { createTestDatabase, type TestDatabase } from '../support/database.js';
import { FaultScene, range, troublesOf } from '../support/faults/fault-workers.js';
import { FaultProxy } from '../support/faults/proxy.js';
import { ServerPair } from '../support/faults/server-pair.js';
import type { SpawnedProcess } from '../support/processes.js';
import { waitFor } from '../support/wait.js';

/** A scene whose database is at an address that moves from the one server to the other. Bodies are counted on a third, which stays. */
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

  /** The primary dies, and for a moment nobody is at its address; then the standby is. */
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

/** Every session is that of a worker that lives, and owns nothing any more. */
async function nothingIsLeft(scene: FaultScene, workers: readonly SpawnedProcess[]): Promise<void> {
  const byNumber = (numbers: readonly number[]): string => [...numbers].sort((a, b) => a - b).join();
  const pids = byNumber(workers.map(({ child }) => child.pid!));
  await waitFor(async () => byNumber(await scene.sessions()) === pids, { message: `no sessions but those of ${pids}` });
  const [left] = await scene.database.query(`SELECT (SELECT count(*)::int FROM durable.workflow_runs WHERE session_id IS NOT NULL) AS owned,
    (SELECT count(*)::int FROM durable.workflow_waits) AS waits, (SELECT count(*)::int FROM durable.workflow_inbox) AS messages`);
  expect(left).toEqual({ owned: 0, waits: 0, messages: 0 });
}

describe('a fail-over to another server', () => {
  it(
    'that has every acknowledged commit loses nothing, and the workers go on',
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
      for (const worker of workers) expect(troublesOf(worker)).toEqual([]);
    }),
  );
});
