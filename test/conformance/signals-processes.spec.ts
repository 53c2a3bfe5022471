import { describe, expect, it } from '@jest/globals';

import { seconds, waitFor } from '../support/wait.js';
import { useStage } from './harness.js';
import { approved, Counted, Tree } from './workflows.js';

describe('runs in several processes', () => {
  const stage = useStage(false);

  it('a signal reaches a run in another process, even after SIGKILL of the worker that owned the run', async () => {
    const { client, database, spawnWorker } = stage();
    const first = await spawnWorker({ suspendAfter: '1m', sessionTtl: '2s' });
    const near = await client.start(Counted);
    const far = await client.start(Counted);
    const waiting = async (): Promise<boolean> =>
      (await database.query(`SELECT 1 FROM durable.workflow_waits WHERE kind = 'signal'`)).length === 2;
    await waitFor(waiting);
    await near.signal(approved, { by: 'near' });
    expect(await near.result()).toBe('near');
    first.kill('SIGKILL');
    await first.exited;
    await far.signal(approved, { by: 'far' });
    await spawnWorker({ sessionTtl: '2s' });
    expect(await far.result()).toBe('far');
    expect(await database.query('SELECT step_key, count(*)::int FROM bodies WHERE run_id = $1 GROUP BY 1 ORDER BY 1', [far.runId])).toEqual(
      [
        { step_key: 'after', count: 1 },
        { step_key: 'before', count: 1 },
      ],
    );
  });

  it('three processes execute each body of a hundred children and a hundred concurrent steps once', async () => {
    const { client, database, spawnWorker } = stage();
    await Promise.all([1, 2].map(() => spawnWorker({ concurrency: 10 })));
    const handle = await client.start(Tree, 100);
    expect(await handle.result({ timeout: seconds(30) })).toBe(4_950);
    const [bodies] = await database.query(
      `SELECT count(*)::int AS count, count(DISTINCT (run_id, step_key))::int AS different, count(DISTINCT pid)::int AS processes
      FROM bodies WHERE step_key LIKE 'twig%' OR step_key = 'leaf'`,
    );
    expect(bodies).toMatchObject({ count: 200, different: 200 });
    expect(bodies.processes).toBeGreaterThan(1);
  });
});
