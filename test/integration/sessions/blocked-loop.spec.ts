import { describe, expect, it } from '@jest/globals';

import { onScene, troublesOf } from '../../support/faults/fault-workers.js';
import { waitFor } from '../../support/wait.js';

const SESSION = { sessionTtl: '2s' };
const BLOCK_MS = 5_000;

describe('a body that blocks the event loop for longer than sessionTtl', () => {
  it.concurrent(
    'costs its worker no run while the direct connection is open, and is named in the log',
    onScene(async (scene) => {
      const worker = await scene.ready({ worker: SESSION });
      await scene.start('gated', {}, ['beside']);
      await scene.start('gated', { blockMs: BLOCK_MS }, ['blocker']);
      await Promise.all(['beside', 'blocker'].map((id) => worker.waitForLine(new RegExp(`^body ${id}$`))));
      const other = await scene.ready({ worker: SESSION });
      await scene.open([`blocker:${worker.child.pid}`]);
      const [, seconds] = /blocked for (\d+\.\d) s/.exec(
        await worker.waitForLine(/^WARN worker: the event loop was blocked .*"gate" of run "blocker"/),
      )!;
      expect(Number(seconds)).toBeGreaterThanOrEqual(BLOCK_MS / 1_000 - 1);
      await scene.open(['beside', 'blocker']);
      await waitFor(async () => (await scene.statuses())['completed'] === 2, { message: 'both to complete' });
      for (const id of ['beside', 'blocker']) expect(await scene.pidsOf(id, 'gate')).toEqual([worker.child.pid]);
      const [{ losses }] = await scene.database.query('SELECT max(worker_losses)::int AS losses FROM durable.workflow_runs');
      expect(losses).toBe(0);
      expect(other.stdoutLines.filter((line) => /took over/.test(line))).toEqual([]);
      expect([...troublesOf(worker), ...troublesOf(other)]).toEqual([]);
    }),
  );

  it.concurrent(
    'completes without a direct connection, and its run does not count as one that kills workers',
    onScene(async (scene) => {
      const options = { listen: false, worker: SESSION } as const;
      const workers = await Promise.all([scene.ready(options), scene.ready(options)]);
      await scene.start('busy', { ms: BLOCK_MS }, ['busy']);
      await waitFor(async () => (await scene.statuses('busy'))['completed'] === 1, { timeoutMs: 50_000, message: 'it to complete' });
      const executions = await scene.pidsOf('busy', 'compute');
      expect(executions.length).toBeLessThanOrEqual(3);
      const [row] = await scene.database.query('SELECT exclusive_losses FROM durable.workflow_runs');
      expect(row).toEqual({ exclusive_losses: 0 });
      expect(workers.flatMap(troublesOf)).toEqual([]);
    }),
  );
});
