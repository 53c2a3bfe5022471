import { describe, expect, it } from '@jest/globals';

import { onProxy, onScene, range, type FaultScene } from '../support/faults/fault-workers.js';
import type { SpawnedProcess } from '../support/processes.js';
import { PATIENCE, waitFor } from '../support/wait.js';

const SLOW_S = 1.5;

/** Slows down every statement that writes such rows. Returns a function that ends the delay. */
async function slowDown(scene: FaultScene, table: string, when: string): Promise<() => Promise<unknown>> {
  await scene.database
    .query(`CREATE OR REPLACE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_sleep(${SLOW_S}); RETURN NULL; END';
    CREATE TRIGGER slow AFTER ${when} EXECUTE FUNCTION slow()`);
  return () => scene.database.query(`DROP TRIGGER slow ON durable.${table}`);
}

/** Waits until such a statement is being executed. */
const underWay = (scene: FaultScene): Promise<unknown> =>
  waitFor(
    async () => {
      const rows = await scene.database.query(`SELECT 1 FROM pg_stat_activity
        WHERE datname = current_database() AND application_name LIKE 'nestjs-durable%' AND wait_event = 'PgSleep'`);
      return rows.length > 0;
    },
    { message: 'the slow statement' },
  );

/** Checks that the worker ends by its signal, soon, and leaves nothing behind. */
async function endsCleanly(scene: FaultScene, worker: SpawnedProcess): Promise<void> {
  const since = performance.now();
  expect(await worker.exited).toEqual({ code: null, signal: 'SIGTERM' });
  expect(performance.now() - since).toBeLessThan(8_000 * PATIENCE);
  expect(worker.stdoutLines.filter((line) => /^(ERROR|UNHANDLED)/.test(line))).toEqual([]);
  expect(await scene.sessions()).toEqual([]);
  const statuses = await scene.statuses();
  expect(statuses['running']).toBeUndefined();
}

async function completeElsewhere(scene: FaultScene, ids: readonly string[], steps: number): Promise<void> {
  await scene.ready();
  await waitFor(async () => (await scene.statuses())['completed'] === ids.length, { message: 'all to complete elsewhere' });
  const [counts] = await scene.database.query(`SELECT (SELECT count(*)::int FROM bodies) AS bodies,
    (SELECT count(*)::int FROM durable.workflow_steps) AS steps, (SELECT max(worker_losses)::int FROM durable.workflow_runs) AS losses`);
  expect(counts).toEqual({ bodies: ids.length * steps, steps: ids.length * steps, losses: 0 });
}

describe('a worker that receives SIGTERM', () => {
  const ids = range('run-', 5);

  it.concurrent(
    'ends after its current flush, whose steps are recorded and not executed again',
    onScene(async (scene) => {
      const worker = await scene.ready({ hooks: true, worker: { shutdownTimeout: '3s' } });
      const end = await slowDown(scene, 'workflow_steps', 'INSERT ON durable.workflow_steps');
      await scene.start('adder', { steps: 3, ms: 50 }, ids);
      await underWay(scene);
      worker.kill('SIGTERM');
      await endsCleanly(scene, worker);
      await end();
      await completeElsewhere(scene, ids, 3);
    }),
  );

  it.concurrent(
    'hands back the run of its current claim, and executes no body',
    onScene(async (scene) => {
      const worker = await scene.ready({ hooks: true, worker: { shutdownTimeout: '3s' } });
      const end = await slowDown(
        scene,
        'workflow_runs',
        `UPDATE ON durable.workflow_runs FOR EACH ROW WHEN (NEW.status = 'running' AND OLD.status = 'pending' AND OLD.id = 'run-0')`,
      );
      await scene.start('adder', { steps: 2, ms: 5 }, ['run-0']);
      await underWay(scene);
      worker.kill('SIGTERM');
      await endsCleanly(scene, worker);
      expect(await scene.database.query('SELECT 1 FROM bodies')).toEqual([]);
      expect(await scene.statuses()).toEqual({ pending: 1 });
      await end();
      await completeElsewhere(scene, ['run-0'], 2);
    }),
  );

  it.concurrent(
    'ends within seconds while the database is silent, and another worker executes its runs',
    onProxy(async (scene, proxy) => {
      const worker = await scene.ready({ url: proxy.url, hooks: true, worker: { shutdownTimeout: '500ms', sessionTtl: '2s' } });
      await scene.start('gated', {}, ['mute']);
      await worker.waitForLine(/^body mute$/);
      proxy.silence();
      // By now, all periodic work of the worker waits for an answer.
      await new Promise((resolve) => setTimeout(resolve, 1_500));
      const since = performance.now();
      worker.kill('SIGTERM');
      expect(await worker.exited).toEqual({ code: null, signal: 'SIGTERM' });
      expect(performance.now() - since).toBeLessThan(12_000 * PATIENCE);
      const heir = await scene.ready({ worker: { sessionTtl: '2s' } });
      await heir.waitForLine(/^body mute$/);
      await scene.open(['mute']);
      await waitFor(async () => (await scene.statuses())['completed'] === 1);
      expect(worker.stdoutLines.filter((line) => /^(ERROR|UNHANDLED)/.test(line))).toEqual([]);
    }),
  );
});
