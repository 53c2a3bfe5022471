import { join } from 'node:path';

import { expect, it } from '@jest/globals';

import { FleetLog } from '../chaos/fleet-log.js';
import { ChaosWorker } from '../chaos/fleet.js';
import { onScene } from '../support/faults/fault-workers.js';
import { FaultProxy } from '../support/faults/proxy.js';
import { waitFor } from '../support/wait.js';

it(
  'an attempt begins only when the failure of the previous attempt is durable, so a crash repeats one attempt',
  onScene(async (scene) => {
    await scene.database.query('ALTER TABLE bodies ADD attempt int, ADD nonce text, ADD given_by text, ADD given text');
    const log = new FleetLog();
    const file = join(process.env['DURABLE_TEST_COMPILED_DIR']!, 'test/chaos/worker.js');
    const proxy = await FaultProxy.start(scene.database.url);
    const worker = new ChaosWorker(0, false, proxy, file, { url: proxy.url, workload: 'all', countUrl: scene.database.url }, log);
    try {
      await worker.start();
      // The failure of the first attempt cannot be recorded.
      const cut = proxy.cutAt('durable_flush_', 'request', () => proxy.refuse());
      // Four attempts, the last of which succeeds, with pauses of 200, 400 and 800 ms.
      await scene.start('flaky', { size: 3, ms: 300, napMs: 2_000 }, ['flaky']);
      await waitFor(async () => (await scene.pidsOf('flaky', 'shaky')).length === 1);
      await cut;
      await new Promise((resolve) => setTimeout(resolve, 3_000));
      expect(await scene.database.query('SELECT attempt FROM bodies')).toEqual([{ attempt: 1 }]);
      await worker.end('SIGKILL');
      proxy.restore();
      await worker.start();
      await waitFor(async () => (await scene.statuses('flaky'))['completed'] === 1);
      const attempts = await scene.database.query<{ attempt: number }>(`SELECT attempt FROM bodies WHERE step_key = 'shaky' ORDER BY at`);
      expect(attempts.map(({ attempt }) => attempt)).toEqual([1, 1, 2, 3, 4]);
      expect(log.problems).toEqual([]);
    } finally {
      await worker.close();
    }
  }),
);
