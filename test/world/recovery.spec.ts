import { afterEach, describe, expect, it } from '@jest/globals';

import { createTestDatabase, type TestDatabase } from '../support/database.js';
import { killSpawned } from '../support/processes.js';
import { waitFor } from '../support/wait.js';
import { KitApplication } from './support/kit-application.js';

describe('three processes with one World', () => {
  let database: TestDatabase;

  afterEach(async () => {
    await killSpawned();
    await database.drop();
  });

  it('end every run with one result of each step, though one process is killed and every message doubled', async () => {
    database = await createTestDatabase();
    const first = await KitApplication.start('stable', database.url);
    const others = await Promise.all([KitApplication.start('stable', database.url), KitApplication.start('stable', database.url)]);
    const runs = await Promise.all(Array.from({ length: 12 }, (_, index) => first.run(index % 2 === 0 ? 'addThree' : 'parallel', 3)));
    const count = async (where: string): Promise<number> =>
      (await database.query<{ count: number }>(`SELECT count(*)::int AS count FROM ${where}`))[0]!.count;
    await waitFor(async () => (await count(`durable_world.world_events WHERE type = 'step_completed'`)) >= 4);
    first.process.kill('SIGKILL');
    await first.process.exited;
    await database.query(
      `INSERT INTO durable_world.world_messages (message_id, queue, deployment_id, run_id, body, headers, due_at, created_at)
       SELECT message_id || '_double', queue, deployment_id, run_id, body, headers, now(), now() FROM durable_world.world_messages`,
    );
    for (const [index, runId] of runs.entries()) {
      expect(await others[index % 2]!.ended(runId)).toEqual({ status: 'completed', output: 6 });
    }
    expect(await count(`durable_world.world_events WHERE type = 'run_completed'`)).toBe(12);
    const doubled = await count(
      `(SELECT FROM durable_world.world_events WHERE type IN ('step_created', 'step_completed') GROUP BY run_id, type, correlation_id HAVING count(*) > 1) d`,
    );
    expect(doubled).toBe(0);
    const holes = await count(`(SELECT FROM durable_world.world_events GROUP BY run_id HAVING max(slot) <> count(*)) h`);
    expect(holes).toBe(0);
  });

  it('gives a run its message back that was lost with the process', async () => {
    database = await createTestDatabase();
    const application = await KitApplication.start('stable', database.url);
    const runId = await application.run('sleeps', '1h');
    await waitFor(async () => (await database.query(`SELECT FROM durable_world.world_waits WHERE run_id = $1`, [runId])).length === 1);
    await database.query(`UPDATE durable_world.world_waits SET resume_at = now() WHERE run_id = $1`, [runId]);
    await database.query(
      `UPDATE durable_world.world_events SET data = json_build_object('resumeAt', json_build_object('$date', 0)) WHERE type = 'wait_created' AND run_id = $1`,
      [runId],
    );
    await waitFor(
      async () =>
        (await database.query('DELETE FROM durable_world.world_messages WHERE run_id = $1 AND lease IS NULL RETURNING 1', [runId])).length >
        0,
    );
    expect(await application.ended(runId)).toEqual({ status: 'completed', output: 'awake' });
  });
});
