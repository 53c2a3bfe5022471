import { describe, expect, it } from '@jest/globals';

import { onScene } from '../support/faults/fault-workers.js';
import { killSpawned } from '../support/processes.js';
import { seconds, waitFor } from '../support/wait.js';

const CHILDREN = process.env['DURABLE_CHAOS'] ? 200 : 80;
const IN_FLIGHT = 20;
const program = 'family-worker.ts';

describe('children of a parent whose workers are killed', () => {
  it(
    `${CHILDREN} children, ${IN_FLIGHT} at a time in two processes, are each started once`,
    onScene(async (scene) => {
      const workers = [await scene.ready({ program }), await scene.ready({ program })];
      await scene.start('family', { children: CHILDREN, maxInFlight: IN_FLIGHT }, ['parent']);
      const ended = async (): Promise<number> => {
        const [row] = await scene.database.query(
          `SELECT count(*)::int AS count FROM durable.workflow_runs WHERE parent_run_id = 'parent' AND status = 'completed'`,
        );
        return row.count as number;
      };
      let most = 0;
      const watching = setInterval(() => {
        const open = `SELECT count(*)::int AS count FROM durable.workflow_waits WHERE run_id = 'parent'`;
        scene.database.query(open).then(
          ([{ count }]) => (most = Math.max(most, count as number)),
          () => undefined,
        );
      }, 15);
      try {
        for (const share of [0.25, 0.6]) {
          await waitFor(async () => (await ended()) >= CHILDREN * share, { timeoutMs: 30_000, message: `${share} of the children to end` });
          const next = scene.spawn({ program });
          const [owner] = await scene.database.query(
            `SELECT s.pid FROM durable.workflow_runs r JOIN durable.workflow_sessions s ON s.id = r.session_id WHERE r.id = 'parent'`,
          );
          const victim = workers.find(({ child }) => child.pid === owner?.pid) ?? workers[0]!;
          victim.kill('SIGKILL');
          await victim.exited;
          workers.splice(workers.indexOf(victim), 1);
          await next.waitForLine(/^ready$/);
          workers.push(next);
        }
        expect(await scene.application.client.getHandle('parent').result({ timeout: seconds(30) })).toBe(CHILDREN * (CHILDREN - 1));
      } finally {
        clearInterval(watching);
      }
      const [children] = await scene.database.query(
        `SELECT count(*)::int AS started, count(DISTINCT parent_step_key)::int AS asked, count(DISTINCT input::text)::int AS inputs,
           count(*) FILTER (WHERE status = 'completed')::int AS completed FROM durable.workflow_runs WHERE parent_run_id = 'parent'`,
      );
      expect(children).toEqual({ started: CHILDREN, asked: CHILDREN, inputs: CHILDREN, completed: CHILDREN });
      expect(most).toBeGreaterThan(1);
      expect(most).toBeLessThanOrEqual(IN_FLIGHT);
      // No message is left, and no wait is open.
      await waitFor(async () => (await scene.database.query('SELECT 1 FROM durable.workflow_inbox')).length === 0);
      expect(await scene.database.query('SELECT * FROM durable.workflow_waits')).toEqual([]);
    }),
  );

  it(
    'a child that kills its workers fails, and the parent receives a WorkerLostError',
    onScene(async (scene) => {
      const over = new AbortController();
      const supervise = async (): Promise<void> => {
        while (!over.signal.aborted) await scene.spawn({ program }).exited;
      };
      await scene.start('poisoned', undefined, ['poisoned']);
      const supervisor = supervise();
      try {
        const result = await scene.application.client.getHandle('poisoned').result({ timeout: seconds(100) });
        expect(result).toBe('WorkflowFailedError: WorkerLostError');
      } finally {
        over.abort();
        await killSpawned();
        await supervisor;
      }
    }),
  );
});
