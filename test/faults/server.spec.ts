import { describe, expect, it } from '@jest/globals';

import { FaultScene, onScene, range, troublesOf } from '../support/faults/fault-workers.js';
import { crashServer, ownServer } from '../support/faults/own-server.js';
import { waitFor } from '../support/wait.js';

/** Waits until all runs of `adder` have ended. Checks their sums and their recorded steps. */
async function allComplete(scene: FaultScene, prefix: string, runs: number, steps: number): Promise<void> {
  const all = async (): Promise<boolean> => (await scene.statuses(prefix))['completed'] === runs;
  await waitFor(all, { timeoutMs: 30_000, message: 'all to complete' }).catch(async (error: Error) => {
    throw new Error(`${error.message}: ${JSON.stringify(await scene.statuses(prefix))}`);
  });
  const sums = await scene.database.query(`SELECT DISTINCT output::text AS sum FROM durable.workflow_runs WHERE starts_with(id, $1)`, [
    prefix,
  ]);
  expect(sums).toEqual([{ sum: String((steps * (steps + 1)) / 2) }]);
  const [{ recorded }] = await scene.database.query(
    'SELECT count(*)::int AS recorded FROM durable.workflow_steps WHERE starts_with(run_id, $1)',
    [prefix],
  );
  expect(recorded).toBe(runs * steps);
}

/** Lists the runs with more repeated bodies than lost workers. */
async function repeatedBodies(scene: FaultScene): Promise<unknown[]> {
  return scene.database.query(`SELECT run_id, bodies, lost FROM (
    SELECT b.run_id, count(*) - count(DISTINCT b.step_key) AS bodies,
      (SELECT count(*) FROM durable.workflow_run_log e WHERE e.run_id = b.run_id AND e.kind = 'worker_lost') AS lost
    FROM bodies b GROUP BY 1) AS each WHERE bodies > lost`);
}

const recordedSteps = async (scene: FaultScene): Promise<number> =>
  (await scene.database.query<{ steps: number }>('SELECT count(*)::int AS steps FROM durable.workflow_steps'))[0]!.steps;

describe('a server that crashes', () => {
  it('loses no result, and its workers continue, when it restarts at the same address', async () => {
    const scene = await FaultScene.create(await ownServer());
    try {
      const workers = [await scene.ready(), await scene.ready()];
      for (const round of [1, 2]) {
        await scene.start('adder', { steps: 8, ms: 60 }, range(`crash-${round}-`, 60));
        const before = await recordedSteps(scene);
        await waitFor(async () => (await recordedSteps(scene)) > before + 60);
        await crashServer(scene.database);
        await allComplete(scene, `crash-${round}-`, 60, 8);
      }
      expect(await repeatedBodies(scene)).toEqual([]);
      for (const worker of workers) expect(troublesOf(worker)).toEqual([]);
      // A worker may have a new session, which comes last.
      const pids = new Set(workers.map((worker) => worker.child.pid!));
      await waitFor(async () => {
        const sessions = await scene.sessions();
        return sessions.length === pids.size && sessions.every((pid) => pids.has(pid));
      });
    } finally {
      await scene.close();
    }
  });
});

describe('a failover behind the same address', () => {
  const readOnly = async (scene: FaultScene, isOn: boolean): Promise<void> => {
    const name = new URL(scene.database.url).pathname.slice(1);
    await scene.database.query(
      `BEGIN; SET LOCAL transaction_read_only = off; ALTER DATABASE "${name}" SET default_transaction_read_only = ${isOn}; COMMIT`,
    );
  };
  const endConnections = (scene: FaultScene): Promise<unknown> =>
    scene.database.query(`SELECT pg_terminate_backend(pid) FROM pg_stat_activity
      WHERE datname = current_database() AND application_name LIKE 'nestjs-durable%'`);

  it.concurrent.each([
    ['ends the connections when it accepts writes', true],
    ['keeps connections on which nothing can be written', false],
  ])('loses nothing when the new server is read-only at first and %s', (_, endsConnections) =>
    onScene(async (scene) => {
      const worker = await scene.ready();
      await scene.start('adder', { steps: 6, ms: 50 }, range('over-', 40));
      await waitFor(async () => (await recordedSteps(scene)) > 40);
      await readOnly(scene, true);
      await endConnections(scene);
      // Long enough for each service of the worker to meet the read-only server.
      await new Promise((resolve) => setTimeout(resolve, 2_500));
      expect((await scene.statuses('over-'))['failed']).toBeUndefined();
      const before = await recordedSteps(scene);
      await new Promise((resolve) => setTimeout(resolve, 300));
      expect(await recordedSteps(scene)).toBe(before);
      await readOnly(scene, false);
      if (endsConnections) await endConnections(scene);
      await allComplete(scene, 'over-', 40, 6);
      expect(await repeatedBodies(scene)).toEqual([]);
      expect(troublesOf(worker)).toEqual([]);
      // New work is executed as well.
      await scene.start('adder', { steps: 2, ms: 1 }, range('after-', 3));
      await allComplete(scene, 'after-', 3, 2);
    })(),
  );
});
