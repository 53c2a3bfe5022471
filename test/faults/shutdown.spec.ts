import { describe, expect, it } from '@jest/globals';

import { onScene, range, type FaultScene } from '../support/faults/fault-workers.js';
import { FaultProxy } from '../support/faults/proxy.js';
import type { SpawnedProcess } from '../support/processes.js';
import { PATIENCE, seconds, waitFor } from '../support/wait.js';

describe('a worker that shuts down', () => {
  const ownedBy = async (scene: FaultScene, worker: SpawnedProcess): Promise<number> => {
    const rows = await scene.database.query(
      'SELECT r.id FROM durable.workflow_runs r JOIN durable.workflow_sessions s ON s.id = r.session_id WHERE s.pid = $1',
      [worker.child.pid],
    );
    return rows.length;
  };

  it.concurrent(
    'lets its bodies end at SIGTERM, records their steps, and hands the runs back for another worker',
    onScene(async (scene) => {
      const ids = range('finish-', 5);
      const worker = await scene.ready({ hooks: true, worker: { shutdownTimeout: '60s' } });
      await scene.start('gated', {}, ids);
      await Promise.all(ids.map((id) => worker.waitForLine(new RegExp(`^body ${id}$`))));
      worker.kill('SIGTERM');
      // The worker claims no further run while its bodies are running.
      let tries = 0;
      await waitFor(async () => {
        const id = `unclaimed ${String(++tries).padStart(3, '0')}`;
        await scene.start('adder', { steps: 1, ms: 1 }, [id]);
        await new Promise((resolve) => setTimeout(resolve, 500));
        return (await scene.statuses(id))['pending'] === 1;
      });
      await scene.open(ids);
      expect(await worker.exited).toEqual({ code: null, signal: 'SIGTERM' });
      expect(worker.stdoutLines.filter((line) => /^(aborted|ERROR|UNHANDLED)/.test(line))).toEqual([]);
      expect(await scene.sessions()).toEqual([]);
      expect(await scene.statuses('finish-')).toEqual({ pending: ids.length });
      const steps = await scene.database.query(
        `SELECT step_key, count(*)::int FROM durable.workflow_steps WHERE starts_with(run_id, 'finish-') GROUP BY 1`,
      );
      expect(steps).toEqual([{ step_key: 'gate', count: ids.length }]);

      const heir = await scene.ready();
      await waitFor(async () => (await scene.statuses('finish-'))['completed'] === ids.length);
      for (const id of ids) {
        expect(await scene.pidsOf(id, 'gate')).toEqual([worker.child.pid]);
        expect(await scene.pidsOf(id, 'after')).toEqual([heir.child.pid]);
      }
      const [{ losses }] = await scene.database.query('SELECT max(worker_losses)::int AS losses FROM durable.workflow_runs');
      expect(losses).toBe(0);
    }),
  );

  it.concurrent(
    'aborts bodies that take longer than shutdownTimeout, and another worker executes them at once',
    onScene(async (scene) => {
      const worker = await scene.ready({ hooks: true, worker: { shutdownTimeout: '700ms' } });
      await scene.start('gated', {}, ['long']);
      await worker.waitForLine(/^body long$/);
      const since = performance.now();
      const heir = scene.ready();
      worker.kill('SIGTERM');
      await worker.waitForLine(/^aborted long: ClosedError$/);
      await worker.exited;
      const took = performance.now() - since;
      expect(took).toBeGreaterThan(650);
      expect(took).toBeLessThan(3_500 * PATIENCE);
      await (await heir).waitForLine(/^body long$/);
      await scene.open(['long']);
      await waitFor(async () => (await scene.statuses('long'))['completed'] === 1);
      const events = await scene.database.query(`SELECT kind FROM durable.workflow_run_log WHERE run_id = 'long'`);
      expect(events).toEqual([]);
    }),
  );

  it.concurrent(
    'exits at once on a second signal',
    onScene(async (scene) => {
      const worker = await scene.ready({ hooks: true, worker: { shutdownTimeout: '60s' } });
      await scene.start('gated', { deaf: true }, ['stubborn']);
      await worker.waitForLine(/^body stubborn$/);
      worker.kill('SIGTERM');
      await worker.waitForLine(/^received SIGTERM$/);
      // Signals within a second count as one.
      await new Promise((resolve) => setTimeout(resolve, 1_100));
      const since = performance.now();
      worker.kill('SIGTERM');
      const ended = await Promise.race([worker.exited, new Promise((resolve) => setTimeout(() => resolve('still there'), seconds(3)))]);
      expect(ended).not.toBe('still there');
      expect(performance.now() - since).toBeLessThan(1_000 * PATIENCE);
    }),
  );

  it.concurrent(
    'counts signals within a second as one, because npm and process managers send several',
    onScene(async (scene) => {
      const worker = await scene.ready({ hooks: true });
      await scene.start('gated', {}, ['twice']);
      await worker.waitForLine(/^body twice$/);
      for (const signal of ['SIGTERM', 'SIGTERM', 'SIGINT'] as const) {
        worker.kill(signal);
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
      await scene.open(['twice']);
      // A process that was busy sees the signals in the order of their numbers.
      const { code, signal } = await worker.exited;
      expect(code).toBeNull();
      expect(['SIGTERM', 'SIGINT']).toContain(signal);
      expect(worker.stdoutLines.filter((line) => /^(aborted|ERROR|UNHANDLED)/.test(line))).toEqual([]);
      const steps = await scene.database.query(`SELECT step_key FROM durable.workflow_steps WHERE run_id = 'twice'`);
      expect(steps).toEqual([{ step_key: 'gate' }]);
    }),
  );

  it.concurrent(
    'leaves no session that delays other workers, whenever SIGTERM comes during its boot',
    onScene(async (scene) => {
      await scene.start('gated', {}, range('boot-', 3));
      const delays = process.env['DURABLE_CHAOS'] ? Array.from({ length: 20 }, (_, index) => index * 5) : [0, 20];
      for (const delay of delays) {
        const worker = scene.spawn({ hooks: true, worker: { shutdownTimeout: 0 } });
        await worker.waitForLine(/^booting$/);
        await waitFor(async () => (await scene.sessions()).includes(worker.child.pid!) || worker.stdoutLines.includes('ready'), {
          message: () => `the session of ${worker.child.pid}: ${[...worker.stdoutLines, ...worker.stderrLines].join(' / ')}`,
        });
        await new Promise((resolve) => setTimeout(resolve, delay));
        worker.kill('SIGTERM');
        await worker.exited;
      }
      const heir = await scene.ready();
      await scene.open(range('boot-', 3));
      await waitFor(async () => (await scene.statuses('boot-'))['completed'] === 3, { timeoutMs: 5_000 });
      await waitFor(async () => (await scene.sessions()).join() === String(heir.child.pid));
    }),
  );

  it.concurrent(
    'leaves no session and no owned run after app.close(), and its process exits',
    onScene(async (scene) => {
      const ids = range('close-', 5);
      const worker = await scene.ready({ worker: { shutdownTimeout: '100ms' } });
      await scene.start('gated', {}, ids);
      await Promise.all(ids.map((id) => worker.waitForLine(new RegExp(`^body ${id}$`))));
      worker.child.stdin!.write('close\n');
      await worker.waitForLine(/^closed$/);
      expect(await ownedBy(scene, worker)).toBe(0);
      expect(await scene.sessions()).not.toContain(worker.child.pid);
      expect(await scene.statuses('close-')).toEqual({ pending: ids.length });
      // Nothing is left that keeps the process alive.
      expect(await worker.exited).toEqual({ code: 0, signal: null });
    }),
  );

  it.concurrent(
    'ends within seconds while the database is down',
    onScene(async (scene) => {
      const proxy = await FaultProxy.start(scene.database.url);
      try {
        const worker = await scene.ready({ url: proxy.url, hooks: true, worker: { shutdownTimeout: '500ms', sessionTtl: '2s' } });
        await scene.start('gated', {}, ['down']);
        await worker.waitForLine(/^body down$/);
        proxy.refuse();
        const since = performance.now();
        worker.kill('SIGTERM');
        const ended = await Promise.race([worker.exited, new Promise((resolve) => setTimeout(() => resolve('still there'), seconds(12)))]);
        expect(ended).toEqual({ code: null, signal: 'SIGTERM' });
        expect(performance.now() - since).toBeLessThan(10_000 * PATIENCE);
      } finally {
        await proxy.stop();
      }
      const heir = await scene.ready({ worker: { sessionTtl: '2s' } });
      await heir.waitForLine(/^body down$/);
      await scene.open(['down']);
      await waitFor(async () => (await scene.statuses('down'))['completed'] === 1);
    }),
  );
});
