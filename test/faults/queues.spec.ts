import { describe, expect, it } from '@jest/globals';

import { onScene, range } from '../support/faults/fault-workers.js';
import { itLong } from '../support/long-form.js';
import { waitFor } from '../support/wait.js';

/** Milliseconds of a body in the test that measures the use of the places. */
const BODY_MS = 2_000;
const ROUNDS = 4;
const RUNS = process.env['DURABLE_CHAOS'] ? 700 : 140;
const PROCESSES = 5;
const program = 'limited-worker.ts';

/**
 * Largest number of bodies of a kind at the same time. A body of a killed process ended at the
 * kill.
 */
const MOST = `SELECT coalesce(max(n), 0)::int AS most FROM (
  SELECT sum(step) OVER (ORDER BY at, step) AS n FROM spans CROSS JOIN LATERAL (VALUES (began, 1), (ended, -1)) AS e(at, step)
  WHERE kind = $1 AND ended IS NOT NULL
) AS counts`;

/**
 * Share of seven places that execute bodies, from the first time at which seven bodies were
 * executed to the start of the last body.
 */
const USED = `WITH span AS (
  SELECT (SELECT began FROM spans ORDER BY began OFFSET 6 LIMIT 1) AS first, (SELECT max(began) FROM spans) AS last
)
SELECT (sum(extract(epoch FROM least(s.ended, span.last) - greatest(s.began, span.first)))
  / (7 * extract(epoch FROM max(span.last) - max(span.first))))::float8 AS used
FROM spans s CROSS JOIN span WHERE s.ended > span.first`;

const CREATE_SPANS =
  'CREATE TABLE spans (id bigserial PRIMARY KEY, kind text, run_id text, step_key text, pid int, began timestamptz, ended timestamptz)';

describe('limits while processes are killed', () => {
  it(
    `${PROCESSES} processes never exceed a limit of seven runs and three steps, and complete all runs`,
    onScene(async (scene) => {
      await scene.database.query(CREATE_SPANS);
      const workers = await Promise.all(range('', PROCESSES).map(() => scene.ready({ program })));
      const { client } = scene.application;
      await client.startMany('limited', range('run-', RUNS), (id) => ({ id, queue: 'sevens' }));
      await client.startMany('calling', range('call-', RUNS / 2), (id) => ({ id }));
      const completed = async (): Promise<number> =>
        (await scene.database.query(`SELECT count(*)::int AS n FROM durable.workflow_runs WHERE status = 'completed'`))[0]!.n as number;
      for (const share of [0.2, 0.5]) {
        await waitFor(async () => (await completed()) >= RUNS * 1.5 * share, { timeoutMs: 60_000, message: `${share} of the runs` });
        const victim = workers.shift()!;
        const [{ at }] = (await scene.database.query('SELECT clock_timestamp()::text AS at')) as [{ at: string }];
        victim.kill('SIGKILL');
        await victim.exited;
        await scene.database.query('UPDATE spans SET ended = greatest(began, $2::timestamptz) WHERE pid = $1 AND ended IS NULL', [
          victim.child.pid,
          at,
        ]);
        workers.push(await scene.ready({ program }));
      }
      await waitFor(async () => (await completed()) === RUNS * 1.5, { timeoutMs: 90_000, message: 'all runs' });
      for (const [kind, limit] of [
        ['run', 7],
        ['step', 3],
      ] as const) {
        const [row] = await scene.database.query(MOST, [kind]);
        expect(row!.most).toBeGreaterThan(1);
        expect(row!.most).toBeLessThanOrEqual(limit);
      }
      const places = `SELECT count(*)::int AS n FROM durable.workflow_runs WHERE place IN ('admitted', 'kept', 'queued')`;
      expect(await scene.database.query(places)).toEqual([{ n: 0 }]);
    }),
  );
});

describe('limits of several processes', () => {
  it(
    `${PROCESSES} processes give each place that is free to the next run, until no run waits`,
    onScene(async (scene) => {
      await scene.database.query(CREATE_SPANS);
      await Promise.all(range('', PROCESSES).map(() => scene.ready({ program })));
      const ids = range('gated-', 7 * 4);
      await scene.application.client.startMany(
        'limited',
        ids.map((gate) => ({ gate })),
        ({ gate }) => ({ id: gate, queue: 'sevens' }),
      );
      const active = async (): Promise<string[]> =>
        (await scene.database.query<{ id: string }>(`SELECT run_id AS id FROM spans WHERE ended IS NULL ORDER BY began`)).map(
          ({ id }) => id,
        );
      for (let left = ids.length; left > 0;) {
        const expected = Math.min(left, 7);
        await waitFor(async () => (await active()).length === expected, { timeoutMs: 60_000, message: `${expected} bodies` });
        const opened = (await active()).slice(0, 3);
        await scene.database.query('INSERT INTO gates SELECT unnest($1::text[])', [opened]);
        await waitFor(async () => !(await active()).some((id) => opened.includes(id)), { timeoutMs: 60_000, message: 'the ends' });
        left -= opened.length;
      }
      expect((await scene.database.query(MOST, ['run']))[0]!.most).toBe(7);
    }),
  );

  // Only a quiet machine reaches the share: each body follows two commits.
  itLong(
    `${PROCESSES} processes use the places of a limit of seven runs to at least 95 %`,
    onScene(async (scene) => {
      await scene.database.query(CREATE_SPANS);
      await Promise.all(range('', PROCESSES).map(() => scene.ready({ program })));
      const runs = 7 * ROUNDS;
      const inputs = Array.from({ length: runs }, () => ({ ms: BODY_MS }));
      await scene.application.client.startMany('limited', inputs, { queue: 'sevens' });
      const ended = async (): Promise<unknown> =>
        (await scene.database.query(`SELECT count(*)::int AS n FROM durable.workflow_runs WHERE status = 'completed'`))[0]!.n;
      await waitFor(async () => (await ended()) === runs, { timeoutMs: 60_000, message: 'all runs' });
      expect((await scene.database.query(MOST, ['run']))[0]!.most).toBe(7);
      expect((await scene.database.query(USED))[0]!.used).toBeGreaterThanOrEqual(0.95);
    }),
  );
});
