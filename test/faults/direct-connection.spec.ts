import { describe, expect, it } from '@jest/globals';

import { onProxy, range, troublesOf, type FaultScene } from '../support/faults/fault-workers.js';
import { PATIENCE, seconds, waitFor } from '../support/wait.js';

/** Time to live of the sessions. A worker that stands still for longer is taken over. */
const SESSION_TTL = `${3 * PATIENCE}s`;
/** Longer than a session lives. */
const LOST_MS = process.env['DURABLE_CHAOS'] ? seconds(60) : seconds(5);
const NEW_WORK_MS = 5_000;
const LOCKED_AGAIN_MS = 30_000;

const lostEvents = (scene: FaultScene): Promise<unknown[]> =>
  scene.database.query(`SELECT run_id FROM durable.workflow_run_log WHERE kind = 'worker_lost'`);

describe('a worker that loses its direct connection and keeps its pool', () => {
  it.concurrent.each([
    ['refused', 'refuse'],
    ['silent', 'silence'],
  ] as const)(
    'continues, and is not taken over, while the direct connection is %s for long',
    (_, fault) =>
      onProxy(async (scene, proxy) => {
        const worker = await scene.ready({ listen: { url: proxy.url }, worker: { sessionTtl: SESSION_TTL } });
        await scene.start('gated', {}, ['before']);
        await worker.waitForLine(/^body before$/);
        const other = await scene.ready({ worker: { sessionTtl: SESSION_TTL, queues: ['elsewhere'] } });
        await waitFor(async () => (await scene.sessions()).length === 2);
        const until = Date.now() + LOST_MS;
        proxy[fault]();
        for (let round = 0; Date.now() < until; round++) {
          const ids = range(`meanwhile-${round}-`, 3);
          await scene.start('adder', { steps: 2, ms: 1 }, ids);
          await waitFor(async () => (await scene.statuses(`meanwhile-${round}-`))['completed'] === 3, { timeoutMs: NEW_WORK_MS });
          await new Promise((resolve) => setTimeout(resolve, 300));
        }
        expect(await lostEvents(scene)).toEqual([]);
        expect(await scene.sessions()).toEqual([worker.child.pid, other.child.pid]);
        proxy.restore();
        await scene.open(['before']);
        await waitFor(async () => (await scene.statuses('before'))['completed'] === 1);
        expect(await scene.pidsOf('before', 'gate')).toEqual([worker.child.pid]);
        expect(worker.stdoutLines.filter((line) => /taken over/.test(line))).toEqual([]);
        expect([...troublesOf(worker), ...troublesOf(other)]).toEqual([]);
        // The lock is held again, so the worker's death shows at once. An attempt to connect during
        // the silence times out first.
        const holdsLock = async (): Promise<boolean> => {
          const rows = await scene.database.query('SELECT holds_lock FROM durable.workflow_sessions WHERE pid = $1', [worker.child.pid]);
          return rows[0]?.holds_lock;
        };
        await waitFor(holdsLock, { timeoutMs: LOCKED_AGAIN_MS, message: 'the lock' });
      })(),
    LOST_MS + seconds(120),
  );

  it.concurrent(
    'is taken over, and executes new runs within seconds, when only the server notices the loss',
    onProxy(async (scene, proxy) => {
      const worker = await scene.ready({ listen: { url: proxy.url }, worker: { sessionTtl: '3s' } });
      await waitFor(async () => (await scene.database.query('SELECT 1 FROM durable.workflow_sessions WHERE holds_lock')).length === 1);
      const other = await scene.ready({ worker: { sessionTtl: '3s', queues: ['elsewhere'] } });
      proxy.silence();
      const ended = await scene.database.query(`SELECT pg_terminate_backend(l.pid) FROM pg_locks l JOIN pg_stat_activity a USING (pid)
        JOIN durable.workflow_sessions s ON l.objid = (s.id & 2147483647)::oid
        WHERE l.locktype = 'advisory' AND a.datname = current_database() AND l.objsubid = 2 AND s.pid = ${worker.child.pid}`);
      expect(ended).toHaveLength(1);
      await worker.waitForLine(/^WARN worker: another process took over the session/);
      await scene.start('adder', { steps: 2, ms: 1 }, range('new-', 3));
      await waitFor(async () => (await scene.statuses('new-'))['completed'] === 3, {
        timeoutMs: NEW_WORK_MS,
        message: 'new work, although the direct connection says nothing',
      });
      proxy.restore();
      expect([...troublesOf(worker), ...troublesOf(other)]).toEqual([]);
    }),
  );

  it.concurrent(
    'ends at SIGTERM, and closes its session, while the direct connection is silent',
    onProxy(async (scene, proxy) => {
      const worker = await scene.ready({ listen: { url: proxy.url }, hooks: true, worker: { shutdownTimeout: '100ms' } });
      await scene.start('gated', {}, ['mine']);
      await worker.waitForLine(/^body mine$/);
      proxy.silence();
      const since = performance.now();
      worker.kill('SIGTERM');
      expect(await worker.exited).toEqual({ code: null, signal: 'SIGTERM' });
      expect(performance.now() - since).toBeLessThan(10_000 * PATIENCE);
      expect(await scene.sessions()).toEqual([]);
      expect(await scene.statuses()).toEqual({ pending: 1 });
    }),
  );
});
