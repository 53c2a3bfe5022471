import { describe, expect, it } from '@jest/globals';

import { onProxy, troublesOf, type FaultScene } from '../support/faults/fault-workers.js';
import type { FaultProxy } from '../support/faults/proxy.js';
import { waitFor } from '../support/wait.js';

const program = 'transactional-worker.ts';
/** Short, because a session whose process died before it took a lock lasts this long. */
const SHORT = { sessionTtl: '2s' };

/** The statements of a transactional step, each with a text that only its message contains. */
const POINTS: readonly [string, string][] = [
  ['START TRANSACTION', 'START TRANSACTION'],
  ["the body's INSERT", 'INSERT INTO ledger'],
  ['the record', 'WITH session AS MATERIALIZED'],
  ['COMMIT', 'COMMIT\0'],
];

const onLedger = (test: (scene: FaultScene, proxy: FaultProxy) => Promise<void>) =>
  onProxy(async (scene, proxy) => {
    await scene.database.query('CREATE TABLE ledger (run_id text, step_key text, pid int)');
    await test(scene, proxy);
  });

/** Expects that each step has one row of the ledger and one record, of the same transaction. */
async function expectBoth(scene: FaultScene, runs: number, steps: number): Promise<void> {
  const all = async (): Promise<boolean> => (await scene.statuses())['completed'] === runs;
  await waitFor(all, { message: 'all runs to complete' });
  const rows = await scene.database.query(
    `SELECT count(*)::int AS rows, count(DISTINCT (l.run_id, l.step_key))::int AS steps,
       count(*) FILTER (WHERE s.xmin::text = l.xmin::text)::int AS "oneTransaction"
     FROM ledger l FULL JOIN durable.workflow_steps s ON (s.run_id, s.step_key) = (l.run_id, l.step_key)`,
  );
  expect(rows).toEqual([{ rows: runs * steps, steps: runs * steps, oneTransaction: runs * steps }]);
  const [order] = await scene.database.query(
    `SELECT bool_and(seq = expected) AS "isExact" FROM (SELECT seq, row_number() OVER (PARTITION BY run_id ORDER BY seq) AS expected
     FROM durable.workflow_steps) AS numbered`,
  );
  expect(order).toEqual({ isExact: true });
}

describe('a transactional step', () => {
  it(
    'has both its write and its record, or neither, whichever statement a cut connection loses',
    onLedger(async (scene, proxy) => {
      const worker = await scene.ready({ program, url: proxy.url });
      let runs = 0;
      for (const [, marker] of POINTS) {
        for (const at of ['request', 'answer'] as const) {
          const cut = proxy.cutAt(marker, at);
          await scene.start('ledger', 2, [`run-${++runs}`]);
          await cut;
          await waitFor(async () => (await scene.statuses())['completed'] === runs);
        }
      }
      await expectBoth(scene, runs, 2);
      // The module looks up the outcome of a COMMIT without an answer, and executes no body again.
      const bodies = (): string[] => worker.stdoutLines.filter((line) => line.startsWith(`body run-${runs}/`));
      await waitFor(() => bodies().length >= 2);
      expect(bodies()).toHaveLength(2);
      expect(troublesOf(worker)).toEqual([]);
    }),
  );

  it.concurrent.each(POINTS)('has both or neither when its worker is killed at %s', (_, marker) =>
    onLedger(async (scene, proxy) => {
      const worker = await scene.ready({ program, url: proxy.url, worker: SHORT });
      const killed = proxy.cutAt(marker, marker.startsWith('COMMIT') ? 'request' : 'answer', () => worker.kill('SIGKILL'));
      await scene.start('ledger', 2, ['run']);
      await killed;
      await scene.ready({ program, worker: SHORT });
      await expectBoth(scene, 1, 2);
    })(),
  );

  it.concurrent(
    'is not executed again when its worker is killed after the commit',
    onLedger(async (scene, proxy) => {
      const worker = await scene.ready({ program, url: proxy.url, worker: SHORT });
      const killed = proxy.cutAt('COMMIT\0', 'answer', () => worker.kill('SIGKILL'));
      await scene.start('ledger', 2, ['run']);
      await killed;
      await scene.ready({ program, worker: SHORT });
      await expectBoth(scene, 1, 2);
      const [first] = await scene.database.query(`SELECT pid FROM ledger WHERE step_key = 'book'`);
      expect(first).toEqual({ pid: worker.child.pid });
    }),
  );

  it.concurrent(
    'releases its locks, and is executed elsewhere, when its process freezes before COMMIT',
    onLedger(async (scene, proxy) => {
      const worker = await scene.ready({ program, url: proxy.url, worker: SHORT });
      const silent = proxy.silenceAt('COMMIT\0');
      await scene.start('ledger', 2, ['run']);
      await silent;
      worker.kill('SIGSTOP');
      await scene.neglect(worker);
      await scene.ready({ program, worker: SHORT });
      await expectBoth(scene, 1, 2);
      const pids = await scene.database.query('SELECT DISTINCT pid FROM ledger');
      expect(pids).not.toContainEqual({ pid: worker.child.pid });
    }),
  );
});
