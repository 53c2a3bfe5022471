import { describe, expect, it } from '@jest/globals';

import { onScene, range, type FaultScene } from '../../support/faults/fault-workers.js';
import type { SpawnedProcess } from '../../support/processes.js';
import { waitFor } from '../../support/wait.js';

const SESSION = { sessionTtl: '2s' };
const TAKEN_OVER = /^WARN worker: another process took over the session/;

describe('a worker that is fenced off', () => {
  /** Waits until the heir executes the runs, under epochs of its own. */
  async function takenOver(ids: readonly string[], heir: SpawnedProcess): Promise<void> {
    await Promise.all(ids.map((id) => heir.waitForLine(new RegExp(`^body ${id}$`))));
  }

  /**
   * Checks that a fenced worker writes nothing to the runs that it owned, aborts their bodies,
   * warns once, and executes new work.
   */
  async function goesOnQuietly(
    scene: FaultScene,
    zombie: SpawnedProcess,
    ids: readonly string[],
    newIds: readonly string[],
    rest: SpawnedProcess,
  ): Promise<void> {
    await Promise.all(ids.map((id) => zombie.waitForLine(new RegExp(`^aborted ${id}: FencedError$`))));
    await zombie.waitForLine(TAKEN_OVER);
    // Only the fenced worker is left to execute new runs.
    rest.kill('SIGSTOP');
    try {
      const [{ id: heirSession }] = await scene.database.query('SELECT id FROM durable.workflow_sessions WHERE pid = $1', [rest.child.pid]);
      await scene.database.query(`UPDATE durable.workflow_sessions SET expires_at = now() + interval '1 minute' WHERE id = $1`, [
        heirSession,
      ]);
      await scene.start('adder', { steps: 2, ms: 1 }, newIds);
      await waitFor(
        async () => (await Promise.all(newIds.map((id) => scene.pidsOf(id, 'add')))).every((pids) => pids[0] === zombie.child.pid),
        { message: 'the worker to execute new work' },
      );
    } finally {
      rest.kill('SIGCONT');
    }
    expect(zombie.stdoutLines.filter((line) => TAKEN_OVER.test(line))).toHaveLength(1);
    expect(zombie.stdoutLines.filter((line) => /^(ERROR|UNHANDLED)/.test(line))).toEqual([]);
  }

  it.concurrent.each([
    ['the default direct connection', true],
    ['no direct connection', false],
  ])('writes nothing to its former runs after its process was stopped, with %s', (_, listen) =>
    onScene(async (scene) => {
      const ids = range(`stop-${listen}-`, 5);
      const zombie = await scene.ready({ listen, worker: SESSION });
      await scene.start('gated', {}, ids);
      await Promise.all(ids.map((id) => zombie.waitForLine(new RegExp(`^body ${id}$`))));
      const heir = await scene.ready({ listen, worker: SESSION });
      zombie.kill('SIGSTOP');
      if (listen) await scene.neglect(zombie);
      await takenOver(ids, heir);
      const before = await Promise.all(ids.map((id) => scene.fingerprint(id)));
      zombie.kill('SIGCONT');
      await goesOnQuietly(scene, zombie, ids, range(`new-stop-${listen}-`, 3), heir);
      expect(await Promise.all(ids.map((id) => scene.fingerprint(id)))).toEqual(before);

      await scene.open(ids);
      await waitFor(async () => (await scene.statuses(`stop-${listen}-`))['completed'] === ids.length, {
        message: 'the runs to complete elsewhere',
      });
      const epochs = await scene.database.query(
        `SELECT DISTINCT r.epoch = s.epoch AS same, s.epoch FROM durable.workflow_runs r JOIN durable.workflow_steps s ON s.run_id = r.id
      WHERE starts_with(r.id, $1)`,
        [`stop-${listen}-`],
      );
      expect(epochs).toEqual([{ same: true, epoch: 2 }]);
    })(),
  );

  it.concurrent(
    'drops the results of bodies that ignore their AbortSignal',
    onScene(async (scene) => {
      const zombie = await scene.ready({ worker: SESSION });
      await scene.start('gated', { deaf: true }, ['deaf']);
      await zombie.waitForLine(/^body deaf$/);
      const heir = await scene.ready({ worker: SESSION });
      zombie.kill('SIGSTOP');
      await scene.neglect(zombie);
      await takenOver(['deaf'], heir);
      // Both bodies find the gate open: the zombie's first, because the heir is stopped as soon as
      // it owns the run.
      heir.kill('SIGSTOP');
      await scene.database.query(`UPDATE durable.workflow_sessions SET expires_at = now() + interval '1 minute' WHERE pid = $1`, [
        heir.child.pid,
      ]);
      const before = await scene.fingerprint('deaf');
      await scene.open(['deaf']);
      zombie.kill('SIGCONT');
      await zombie.waitForLine(TAKEN_OVER);
      await scene.start('adder', { steps: 1, ms: 1 }, ['beside-deaf']);
      await waitFor(async () => (await scene.statuses('beside-deaf'))['completed'] === 1);
      expect(await scene.fingerprint('deaf')).toBe(before);
      heir.kill('SIGCONT');
      await waitFor(async () => (await scene.statuses('deaf'))['completed'] === 1);
      expect(await scene.pidsOf('deaf', 'after')).toEqual([heir.child.pid]);
    }),
  );

  it.concurrent(
    'writes nothing to its former runs after a body blocked its event loop, with no direct connection',
    onScene(async (scene) => {
      const ids = ['blocker', 'blocked-1', 'blocked-2'];
      const zombie = await scene.ready({ listen: false, worker: SESSION });
      await scene.start('gated', {}, ids.slice(1));
      await Promise.all(ids.slice(1).map((id) => zombie.waitForLine(new RegExp(`^body ${id}$`))));
      await scene.start('gated', { blockMs: 5_000 }, ['blocker']);
      await zombie.waitForLine(/^body blocker$/);
      const heir = await scene.ready({ worker: SESSION });
      await scene.open([`blocker:${zombie.child.pid}`]);
      await takenOver(ids, heir);
      const before = await Promise.all(ids.map((id) => scene.fingerprint(id)));
      await goesOnQuietly(scene, zombie, ids, range('new-block-', 3), heir);
      expect(await Promise.all(ids.map((id) => scene.fingerprint(id)))).toEqual(before);
      await scene.open(ids);
      await waitFor(async () => (await scene.statuses('block'))['completed'] === ids.length, { message: 'the runs to complete elsewhere' });
      expect(await scene.pidsOf('blocker', 'after')).toEqual([heir.child.pid]);
    }),
  );
});
