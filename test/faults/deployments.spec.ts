import { describe, expect, it } from '@jest/globals';

import { onScene, range, type FaultScene } from '../support/faults/fault-workers.js';
import { waitFor } from '../support/wait.js';

const WORKER = { suspendAfter: '50ms', pollInterval: '50ms' };

describe('runs whose history does not match the code of a deployment', () => {
  const blockedBy = (scene: FaultScene, prefix: string): Promise<{ status: string; blocked: string; count: number }[]> =>
    scene.database.query(
      `SELECT status, coalesce(array_to_string(blocked_deployments, ','), '') AS blocked, count(*)::int FROM durable.workflow_runs WHERE starts_with(id, $1) GROUP BY 1, 2 ORDER BY 2`,
      [prefix],
    );

  /** Runs that deployment A has begun, and whose sleep is over now that A has ended. */
  async function begunByA(scene: FaultScene, ids: readonly string[]): Promise<void> {
    const a = await scene.ready({ hooks: true, deploymentId: 'A', variant: 'old', worker: WORKER });
    await scene.start('versioned', undefined, ids);
    await waitFor(async () => {
      const rows = await scene.database.query(`SELECT 1 FROM durable.workflow_runs WHERE id = ANY ($1) AND status = 'waiting'`, [ids]);
      return rows.length === ids.length;
    });
    for (const id of ids) expect(await scene.pidsOf(id, 'charge')).toEqual([a.child.pid]);
    a.kill('SIGTERM');
    await a.exited;
    for (const [table, id] of Object.entries({ waits: 'run_id', runs: 'id' }))
      await scene.database.query(`UPDATE durable.workflow_${table} SET wake_at = now() - interval '1 minute' WHERE ${id} = ANY ($1)`, [
        ids,
      ]);
  }

  it.concurrent(
    'wait until a deployment with matching code comes, and then complete',
    onScene(async (scene) => {
      const ids = range('wait-', 3);
      await begunByA(scene, ids);
      const b = await scene.ready({ deploymentId: 'B', variant: 'new', worker: WORKER });
      await waitFor(async () => {
        expect(await blockedBy(scene, 'wait-')).toEqual([{ status: 'waiting', blocked: 'B', count: 3 }]);
        return true;
      });
      // The log names one run of each workflow.
      await b.waitForLine(/waits for another deployment/);
      const epochs = await scene.database.query(`SELECT id, epoch FROM durable.workflow_runs WHERE starts_with(id, 'wait-') ORDER BY id`);
      // B executes other runs meanwhile, and never these runs, even in another process.
      await scene.ready({ deploymentId: 'B', variant: 'new', worker: WORKER });
      await scene.start('versioned', { sleepMs: 300 }, ['of-b']);
      await waitFor(async () => (await scene.statuses('of-b'))['completed'] === 1);
      expect(await blockedBy(scene, 'wait-')).toEqual([{ status: 'waiting', blocked: 'B', count: 3 }]);
      expect(await scene.database.query(`SELECT id, epoch FROM durable.workflow_runs WHERE starts_with(id, 'wait-') ORDER BY id`)).toEqual(
        epochs,
      );

      await scene.ready({ deploymentId: 'C', variant: 'fits both', worker: WORKER });
      await waitFor(async () => (await scene.statuses('wait-'))['completed'] === 3);
      for (const id of ids) {
        expect(await scene.application.client.getHandle(id).result()).toBe('done by C');
        expect(await scene.pidsOf(id, 'charge')).toHaveLength(1);
        expect(await scene.pidsOf(id, 'ship')).toHaveLength(1);
      }
    }),
  );

  it.concurrent(
    'are continued by the deployment that began them, and claimed at most once by another deployment beside it',
    onScene(async (scene) => {
      const ids = range('both-', 10);
      await begunByA(scene, ids);
      const a = scene.ready({ deploymentId: 'A', variant: 'old', worker: WORKER });
      await scene.ready({ deploymentId: 'B', variant: 'new', worker: WORKER });
      await a;
      await waitFor(async () => (await scene.statuses('both-'))['completed'] === 10, { timeoutMs: 15_000 });
      for (const id of ids) expect(await scene.application.client.getHandle(id).result()).toBe('done by A');
      for (const { blocked } of await blockedBy(scene, 'both-')) expect(['', 'B']).toContain(blocked);
      // A claims a run when it begins and continues it, B at most once; suspensions add claims.
      const [{ most }] = await scene.database.query(
        `SELECT max(epoch)::int AS most FROM durable.workflow_runs WHERE starts_with(id, 'both-')`,
      );
      expect(most).toBeLessThanOrEqual(5);
    }),
  );
});
