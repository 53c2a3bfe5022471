import { setTimeout as sleep } from 'node:timers/promises';

import { afterEach, describe, expect, it } from '@jest/globals';
import pg from 'pg';

import { closeApplications, startApplication } from '../support/application.js';
import { onProxy, onScene, range, troublesOf, type FaultScene } from '../support/faults/fault-workers.js';
import { seconds, waitFor } from '../support/wait.js';

// Shorter forms of these tests are in connections, journal-outage and journal-locked-rows.
const MINUTE_MS = 60_000;

const allComplete = (scene: FaultScene, prefix: string, runs: number): Promise<unknown> =>
  waitFor(async () => (await scene.statuses(prefix))['completed'] === runs, { timeoutMs: 30_000, message: `${prefix} to complete` });

/** The 95th percentile of the durations of runs that execute one after another, in milliseconds. */
async function p95(scene: FaultScene, prefix: string, until: (done: number) => boolean): Promise<number> {
  const took: number[] = [];
  while (!until(took.length)) {
    const since = performance.now();
    const handle = await scene.application.client.start('adder', { steps: 2, ms: 0 }, { id: `${prefix}${took.length}` });
    await handle.result({ timeout: seconds(20) });
    took.push(performance.now() - since);
  }
  return took.sort((a, b) => a - b)[Math.floor(took.length * 0.95)]!;
}

const chaosOnly = process.env['DURABLE_CHAOS'] ? describe : describe.skip;

chaosOnly('a fault that lasts a minute', () => {
  afterEach(closeApplications);

  it(
    'an outage of the database loses no result, makes an early start fail, and delays a late start',
    onProxy(async (scene, proxy) => {
      const worker = await scene.ready({ url: proxy.url });
      const { client } = await startApplication(proxy.url, [], { worker: false });
      await scene.start('adder', { steps: 8, ms: 50 }, range('down-', 40));
      await waitFor(async () => (await scene.database.query('SELECT 1 FROM durable.workflow_steps')).length > 40);
      proxy.refuse();
      const since = performance.now();
      const impatient = client.start('adder', { steps: 1, ms: 1 }, { id: 'impatient' }).then(
        () => 'started',
        (error: { code: string }) => error.code,
      );
      await sleep(MINUTE_MS - 15_000);
      const patient = client.start('adder', { steps: 1, ms: 1 }, { id: 'patient' });
      await sleep(MINUTE_MS - (performance.now() - since));
      proxy.restore();
      expect(await impatient).toBe('DATABASE_UNAVAILABLE');
      await (await patient).result({ timeout: seconds(20) });
      await allComplete(scene, 'down-', 40);
      // No other worker could take over: nothing was lost, and no body was executed twice.
      expect(await scene.database.query(`SELECT count(*)::int AS bodies FROM bodies WHERE starts_with(run_id, 'down-')`)).toEqual([
        { bodies: 320 },
      ]);
      expect(await scene.statuses('impatient')).toEqual({});
      expect(troublesOf(worker)).toEqual([]);
    }),
    MINUTE_MS * 3,
  );

  it(
    'a run that another transaction locks does not slow other runs down, and continues afterwards',
    onScene(async (scene) => {
      const worker = await scene.ready();
      await p95(scene, 'warm-', (done) => done === 100);
      const before = await p95(scene, 'before-', (done) => done === 300);
      const owner = new pg.Client({ connectionString: scene.database.url });
      owner.on('error', () => undefined);
      await owner.connect();
      try {
        await scene.start('adder', { steps: 20, ms: 20 }, ['held']);
        await waitFor(async () => (await scene.pidsOf('held', 'add')).length === 1);
        await owner.query(`BEGIN; SELECT 1 FROM durable.workflow_runs WHERE id = 'held' FOR UPDATE`);
        const until = performance.now() + MINUTE_MS;
        const meanwhile = await p95(scene, 'meanwhile-', () => performance.now() > until);
        console.log(`p95 before ${before.toFixed(1)} ms, beside a held run ${meanwhile.toFixed(1)} ms`);
        expect(meanwhile).toBeLessThan(before * 1.5 + 10);
        expect((await scene.statuses('held'))['completed']).toBeUndefined();
      } finally {
        await owner.end();
      }
      await allComplete(scene, 'held', 1);
      expect(await scene.database.query(`SELECT count(*)::int AS bodies FROM bodies WHERE run_id = 'held'`)).toEqual([{ bodies: 20 }]);
      expect(troublesOf(worker)).toEqual([]);
    }),
    MINUTE_MS * 3,
  );
});
