import { describe, expect, it } from '@jest/globals';

import { QStashEmulator } from '../../src/testing/index.js';
import { FrontDoor } from '../chaos/qstash/front-door.js';
import { onScene } from '../support/faults/fault-workers.js';
import { waitFor } from '../support/wait.js';

describe('a run that a process with transport both starts and executes itself', () => {
  it(
    'is finished by a delivery of QStash after SIGKILL, although no message announced the run before',
    onScene(async (scene) => {
      let port: number | undefined;
      const door = await FrontDoor.open(() => (port === undefined ? [] : [port]));
      const qstash = await QStashEmulator.start();
      const { url, token, currentSigningKey, nextSigningKey } = qstash;
      const options = { url, token, currentSigningKey, nextSigningKey, targetUrl: door.url, sweep: false } as const;
      const worker = { sessionTtl: '2s' };
      try {
        const first = await scene.ready({ qstash: options, transport: 'both', starts: 'own', worker });
        await first.waitForLine(/^body own$/);
        const [run] = await scene.database.query(`SELECT status, epoch FROM durable.workflow_runs WHERE id = 'own'`);
        // The first epoch without a message: the start itself took the run.
        expect(run).toEqual({ status: 'running', epoch: 1 });
        expect(qstash.stats().published).toBe(0);
        first.kill('SIGKILL');
        await first.exited;

        // The worker of this process does not poll. It executes only runs that QStash delivers.
        const second = await scene.ready({ qstash: options, worker });
        port = Number(/\d+/.exec(await second.waitForLine(/^listening /))![0]);
        await scene.open(['own']);
        await waitFor(
          async () => {
            // Publishes a sweep, as the schedule does.
            await fetch(`${url}/v2/publish/${door.url}/workflow/qstash/sweep`, {
              method: 'POST',
              headers: { authorization: `Bearer ${token}` },
            });
            return (await scene.statuses('own'))['completed'] === 1;
          },
          { timeoutMs: 30_000, message: 'the run' },
        );
        expect(await scene.pidsOf('own', 'gate')).toEqual([first.child.pid, second.child.pid]);
        expect(await scene.database.query('SELECT kind FROM durable.workflow_run_log')).toEqual([{ kind: 'worker_lost' }]);
      } finally {
        await door.close();
        await qstash.close();
      }
    }),
  );
});
