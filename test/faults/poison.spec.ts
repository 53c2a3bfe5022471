import { describe, expect, it } from '@jest/globals';

import { onScene, range } from '../support/faults/fault-workers.js';
import { killSpawned } from '../support/processes.js';
import { PATIENCE, seconds, waitFor } from '../support/wait.js';

const WORKERS = 2;
const OTHERS = 49;
/** With DURABLE_CHAOS=1, steps take five seconds, and the poison run is also the first suspect. */
const STEP_MS = process.env['DURABLE_CHAOS'] ? 5_000 : 500;
const POISONS = process.env['DURABLE_CHAOS'] ? ['poison', 'a-poison'] : ['poison'];

describe('a run that kills the process that executes it', () => {
  it.each(POISONS)(
    `fails, and ${OTHERS} other runs that were executed beside it complete ("%s")`,
    (poison) =>
      onScene(async (scene) => {
        let crashes = 0;
        const over = new AbortController();
        const supervise = async (): Promise<void> => {
          while (!over.signal.aborted) {
            const { signal } = await scene.spawn().exited;
            if (signal === 'SIGKILL' && !over.signal.aborted) crashes++;
          }
        };
        // The runs are created while no worker is up, so that the first worker claims all of them
        // at once.
        await scene.start('adder', { steps: 2, ms: STEP_MS }, range('other-a', 25));
        await scene.start('poison', undefined, [poison]);
        await scene.start('adder', { steps: 2, ms: STEP_MS }, range('other-b', OTHERS - 25));
        const supervisors = Array.from({ length: WORKERS }, supervise);
        try {
          await waitFor(async () => (await scene.statuses(poison))['failed'] === 1, {
            timeoutMs: 20 * STEP_MS + 60_000,
            message: 'the poison to be given up',
          });
          const failedAt = performance.now();
          await waitFor(async () => (await scene.statuses('other-'))['completed'] === OTHERS, {
            timeoutMs: 4 * STEP_MS + 10_000,
            message: 'the others to complete',
          });
          if (process.env['DURABLE_TEST_LOG'])
            console.log(
              `given up after ${crashes} crashes; the others had all completed ${Math.round(performance.now() - failedAt)} ms later`,
            );
        } finally {
          over.abort();
          await killSpawned();
          await Promise.all(supervisors);
        }
        expect(await scene.statuses()).toEqual({ completed: OTHERS, failed: 1 });
        await expect(scene.application.client.getHandle(poison).result({ timeout: seconds(5) })).rejects.toMatchObject({
          name: 'WorkflowFailedError',
          cause: { name: 'WorkerLostError' },
        });
        expect(await scene.application.client.count({ errorCode: 'WORKER_LOST' })).toBe(1);
        const repeated = await scene.database.query(
          `SELECT run_id FROM (SELECT b.run_id, count(*) - count(DISTINCT b.step_key) AS again,
           (SELECT count(*) FROM durable.workflow_run_log e WHERE e.run_id = b.run_id AND e.kind = 'worker_lost') AS lost
         FROM bodies b GROUP BY 1) AS each WHERE again > lost`,
        );
        expect(repeated).toEqual([]);
      })(),
    PATIENCE * (40 * STEP_MS + 90_000),
  );
});
