import { expect, it } from '@jest/globals';

import { FaultScene } from '../support/faults/fault-workers.js';
import { waitFor } from '../support/wait.js';

const SCHEDULES = 4_000;
const PROCESSES = 5;

it('each schedule starts one run for its due time, when five processes are killed while they start runs', async () => {
  const scene = await FaultScene.create();
  const { database } = scene;
  try {
    const { schedules } = scene.application.client;
    await schedules.create('daily 0', { workflow: 'adder', every: '1d', input: { steps: 0, ms: 0 }, catchUp: 'all' });
    await database.query(
      `INSERT INTO durable.workflow_schedules
         (name, workflow, every_ms, timezone, anchor_at, overlap, catch_up, catch_up_limit, input, tags, due_at, fire_at)
       SELECT 'daily ' || n, workflow, every_ms, timezone, anchor_at, overlap, catch_up, catch_up_limit, input, tags, due_at, fire_at
       FROM durable.workflow_schedules CROSS JOIN generate_series(1, ${SCHEDULES - 1}) AS n`,
    );
    const started = async (): Promise<number> =>
      (await database.query<{ n: number }>('SELECT count(*)::int AS n FROM durable.workflow_runs'))[0]!.n;
    const workers = await Promise.all(Array.from({ length: PROCESSES }, () => scene.ready()));
    await database.query('UPDATE durable.workflow_schedules SET due_at = now(), fire_at = now(), anchor_at = now()');
    for (const [index, worker] of workers.entries()) {
      // Each process dies while others or itself start runs. When they are all done, it dies idle.
      await waitFor(async () => (await started()) > Math.min(index * 700, SCHEDULES - 1));
      worker.kill('SIGKILL');
      await worker.exited;
    }
    await scene.ready();
    await waitFor(async () => (await scene.statuses())['completed'] === SCHEDULES, { timeoutMs: 120_000 });
    const [wrong] = await database.query<{ n: number }>(
      `SELECT count(*)::int AS n FROM durable.workflow_schedules s WHERE s.due_at <= now()
         OR (SELECT count(*) FROM durable.workflow_runs r WHERE r.schedule = s.name AND r.due_at = s.last_due_at AND r.id = s.last_run_id) <> 1`,
    );
    expect(wrong!.n).toBe(0);
    expect(await started()).toBe(SCHEDULES);
  } finally {
    await scene.close();
  }
});
