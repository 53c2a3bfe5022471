import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';

import { createTestDatabase, type TestDatabase } from '../support/database.js';
import { killSpawned } from '../support/processes.js';
import { KitApplication } from './support/kit-application.js';
import type { Line } from './support/test-world.js';

/** Code that sets the clock of a process forward or back. */
const clock = (offsetMs: number): string =>
  `globalThis.Date = class extends Date { constructor(...given) { if (given.length === 0) super(Date.now()); else super(...given); } static now() { return super.now() + ${offsetMs}; } };`;

describe.each<Line>(['stable', 'beta7'])('a sleep of %s in a process whose clock is two seconds off', (line) => {
  let database: TestDatabase;

  beforeAll(async () => {
    database = await createTestDatabase();
  });

  afterEach(() => killSpawned());

  afterAll(() => database.drop());

  /**
   * Executes a run that sleeps for four seconds. Returns what the database saw of the sleep. The
   * process plans the sleep after the run is created, and before the wait is stored. On a slow
   * machine, seconds may pass before and after the plan.
   */
  const sleep = async (offsetMs: number): Promise<Record<'statements' | 'seconds' | 'plannedAtMost' | 'plannedAtLeast', number>> => {
    const NODE_OPTIONS = `--import=data:text/javascript,${encodeURIComponent(clock(offsetMs))}`;
    const application = await KitApplication.start(line, database.url, {
      NODE_OPTIONS,
      KILL_AT: '0:before',
      DEPLOYMENT_ID: String(offsetMs),
    });
    const before = await application.statements();
    const runId = await application.run('sleeps', '4s');
    expect(await application.ended(runId)).toEqual({ status: 'completed', output: 'awake' });
    const statements = (await application.statements()) - before;
    const [slept] = await database.query<Record<'seconds' | 'plannedAtMost' | 'plannedAtLeast', number>>(
      `SELECT extract(epoch FROM max(created_at) - min(created_at))::float8 AS seconds,
         extract(epoch FROM resume_at - min(created_at))::float8 AS "plannedAtMost",
         extract(epoch FROM resume_at - min(created_at) FILTER (WHERE type = 'wait_created'))::float8 AS "plannedAtLeast"
       FROM durable_world.world_events, LATERAL (
         SELECT to_timestamp((data->'resumeAt'->>'$date')::float8 / 1000) AS resume_at
         FROM durable_world.world_events w WHERE w.run_id = $1 AND w.type = 'wait_created') AS wait
       WHERE run_id = $1 AND type IN ('run_created', 'wait_created', 'wait_completed') GROUP BY resume_at`,
      [runId],
    );
    return { statements, ...slept! };
  };

  it('lasts as long as asked, and takes no further deliveries', async () => {
    const [exact, ahead, behind] = [await sleep(0), await sleep(2_000), await sleep(-2_000)];
    // The clock of the process plans the end of the sleep.
    expect(ahead.plannedAtMost).toBeGreaterThan(4.5);
    expect(behind.plannedAtLeast).toBeLessThan(3.5);
    for (const { seconds, statements } of [exact, ahead, behind]) {
      expect(seconds).toBeGreaterThan(3.9);
      // Further deliveries, should the message come too early, and sweeps while the machine stalls.
      expect(statements).toBeLessThanOrEqual(exact.statements + 30);
    }
  });
});
