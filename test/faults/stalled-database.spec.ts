import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

import { afterEach, describe, expect, it } from '@jest/globals';

import { Step, Workflow } from '../../src/index.js';
import { closeApplications, startApplication } from '../support/application.js';
import { onProxy } from '../support/faults/fault-workers.js';
import { waitFor } from '../support/wait.js';

const [RUNS, STALL_MS] = process.env['DURABLE_CHAOS'] ? [100_000, 30_000] : [20_000, 4_000];
/** Megabytes by which the heap may grow during the stall. */
const FLAT_MB = 10;
/** Time between the start of the runs and the first measurement. */
const SETTLED_MS = 1_000;

setFlagsFromString('--expose-gc');
const collectGarbage = runInNewContext('gc') as () => void;

async function heapMb(): Promise<number> {
  for (let cycle = 0; cycle < 3; cycle++) {
    collectGarbage();
    await new Promise((resolve) => setImmediate(resolve));
  }
  return process.memoryUsage().heapUsed / 1_000_000;
}

@Workflow({ name: 'counted' })
class Counted {
  async run(input: number): Promise<number> {
    return this.next(await this.next(input));
  }

  @Step()
  async next(n: number): Promise<number> {
    return n + 1;
  }
}

describe('a database that does not answer while many runs are started at once', () => {
  afterEach(closeApplications);

  it(
    'does not let the heap of the process grow, and loses no started run',
    onProxy(async (scene, proxy) => {
      const application = await startApplication(proxy.url, [Counted]);
      await application.client.execute(Counted, 0);
      proxy.silence();
      // A start that waits for longer than 30 s is given up. Its caller learns that it may exist.
      const starting = application.client
        .startMany(
          Counted,
          Array.from({ length: RUNS }, (_, n) => n),
        )
        .then(
          (handles) => handles.length,
          () => undefined,
        );
      await new Promise((resolve) => setTimeout(resolve, SETTLED_MS));
      const before = await heapMb();
      await new Promise((resolve) => setTimeout(resolve, STALL_MS));
      expect((await heapMb()) - before).toBeLessThan(FLAT_MB);

      proxy.restore();
      const started = await starting;
      const stored = await waitFor(
        async () => {
          const statuses = await scene.statuses();
          const total = Object.values(statuses).reduce((sum, count) => sum + count, 0);
          return statuses['completed'] === total ? total : undefined;
        },
        { timeoutMs: 120_000, message: 'all stored runs to complete' },
      );
      if (started !== undefined) expect(stored).toBe(RUNS + 1);
    }),
  );
});
