import { describe, expect, it } from '@jest/globals';

import { onProxy, onScene, range, troublesOf, type FaultScene } from '../support/faults/fault-workers.js';
import { waitFor } from '../support/wait.js';

async function allCompleteOnce(scene: FaultScene, runs: number, steps: number): Promise<void> {
  const all = async (): Promise<boolean> => (await scene.statuses())['completed'] === runs;
  await waitFor(all, { timeoutMs: 15_000, message: 'all to complete' }).catch(async (error: Error) => {
    throw new Error(`${error.message}: ${JSON.stringify(await scene.statuses())}`);
  });
  expect(await scene.database.query('SELECT count(*)::int AS steps FROM durable.workflow_steps')).toEqual([{ steps: runs * steps }]);
}

/** Cases that are tested only with DURABLE_CHAOS=1. */
const LONG: [string, string, number, string][] = process.env['DURABLE_CHAOS']
  ? [
      ['a claim of a run that was lost before', 'durable_claim_suspects\0', 5, 'claimed again'],
      ['the record that a run is executed alone', 'durable_note_alone\0', 5, 'claimed once'],
      ['a load of histories', 'durable_load_steps\0', 0, 'claimed once, or again'],
    ]
  : [];

describe('a worker whose connections are cut', () => {
  it.concurrent(
    'completes its runs when pg_terminate_backend ends all of its connections repeatedly',
    onScene(async (scene) => {
      const worker = await scene.ready();
      for (let round = 0; round < 8; round++) {
        await scene.start('adder', { steps: 5, ms: 20 }, range(`end-${round}-`, 20));
        await scene.database.query(
          `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'nestjs-durable' AND datname = current_database()`,
        );
      }
      await allCompleteOnce(scene, 160, 5);
      expect(troublesOf(worker)).toEqual([]);
    }),
  );

  it.concurrent.each([
    ['shorter than its session', '30s', 1_000],
    ['longer than its session', '2s', 3_000],
  ])('continues its runs without a repeated body after an outage that is %s', (_, sessionTtl, outageMs) =>
    onProxy(async (scene, proxy) => {
      const worker = await scene.ready({ url: proxy.url, worker: { sessionTtl } });
      await scene.start('adder', { steps: 8, ms: 50 }, range('run-', 40));
      await waitFor(async () => (await scene.database.query('SELECT 1 FROM durable.workflow_steps')).length > 40);
      proxy.refuse();
      await new Promise((resolve) => setTimeout(resolve, outageMs));
      proxy.restore();
      await allCompleteOnce(scene, 40, 8);
      expect(troublesOf(worker)).toEqual([]);
      // No other worker could take over: nothing was lost, and no body was executed twice.
      expect(await scene.database.query('SELECT count(*)::int AS bodies FROM bodies')).toEqual([{ bodies: 320 }]);
    })(),
  );

  it.concurrent.each<[string, string, number, string]>([
    ['a claim', 'durable_claim\0', 0, 'claimed again'],
    ['a flush', 'durable_flush_', 0, 'claimed once'],
    ...LONG,
  ])('executes the run when the connection is cut before the answer to %s', (_, statement, losses, claims) =>
    onProxy(async (scene, proxy) => {
      // The run has been claimed before and exists when the worker boots: the worker's first such
      // statement concerns this run.
      await scene.start('adder', { steps: 2, ms: 5 }, ['run']);
      await scene.database.query('UPDATE durable.workflow_runs SET worker_losses = $1, epoch = 1', [losses]);
      const cut = proxy.cutAfterCommit(statement);
      const worker = await scene.ready({ url: proxy.url });
      await cut;
      await allCompleteOnce(scene, 1, 2);
      expect(troublesOf(worker)).toEqual([]);
      const [{ epoch }] = await scene.database.query('SELECT epoch FROM durable.workflow_runs');
      if (claims === 'claimed again') expect(epoch).toBeGreaterThan(2);
      if (claims === 'claimed once') expect(epoch).toBe(2);
    })(),
  );
});
