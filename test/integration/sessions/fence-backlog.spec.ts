import { expect, it } from '@jest/globals';

import { onScene, range, troublesOf } from '../../support/faults/fault-workers.js';
import { waitFor } from '../../support/wait.js';

it(
  'a worker that is fenced off with all slots taken and more runs due continues under a new session',
  onScene(async (scene) => {
    const ids = range('run-', 10);
    const worker = await scene.ready({ worker: { concurrency: 2, sessionTtl: '2s' } });
    await scene.start('gated', {}, ids);
    await waitFor(async () => (await scene.statuses())['running'] === 2);
    await waitFor(() => worker.stdoutLines.filter((line) => line.startsWith('body ')).length === 2);
    const [{ id: first }] = await scene.database.query('SELECT id FROM durable.workflow_sessions');
    // The statements do what a takeover does.
    await scene.database.query(`DELETE FROM durable.workflow_sessions WHERE id = ${first};
      UPDATE durable.workflow_runs SET status = 'pending', session_id = NULL, ready_at = now() WHERE status = 'running'`);
    await worker.waitForLine(/^WARN worker: another process took over the session/);
    await waitFor(async () => (await scene.sessions()).join() === String(worker.child.pid), { timeoutMs: 5_000, message: 'a new session' });
    await scene.open(ids);
    await waitFor(async () => (await scene.statuses())['completed'] === ids.length, { message: 'all to complete' });
    expect(troublesOf(worker)).toEqual([]);
  }),
);
