import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';

import { FaultScene, range } from '../../support/faults/fault-workers.js';
import { SeededNumbers } from '../../support/faults/seeded-numbers.js';
import type { SpawnedProcess } from '../../support/processes.js';
import { waitFor } from '../../support/wait.js';

/** Number of kills, which is 20 with DURABLE_CHAOS=1. */
const KILLS = process.env['DURABLE_CHAOS'] ? 20 : 5;
const IN_FLIGHT = 50;
const STEPS = 4;
const SUM = 10;

describe('a worker that is killed', () => {
  let scene: FaultScene;
  beforeAll(async () => {
    scene = await FaultScene.create();
  });
  afterAll(() => scene.close());

  it(`loses no run and repeats no recorded step, in ${KILLS} kills at random moments with ${IN_FLIGHT} runs in flight`, async () => {
    const seed = Number(process.env['FAULT_SEED'] ?? 42);
    const random = new SeededNumbers(seed);
    const workers: SpawnedProcess[] = [await scene.ready()];
    const booting = [scene.spawn(), scene.spawn()];
    for (let kill = 0; kill < KILLS; kill++) {
      const next = booting.shift()!;
      await next.waitForLine(/^ready$/);
      workers.push(next);
      booting.push(scene.spawn());
      // Unfinished runs of earlier rounds add to these, so at least this many are in flight.
      await scene.start('adder', { steps: STEPS, ms: 30 }, range(`run-${kill}-`, IN_FLIGHT));
      await new Promise((resolve) => setTimeout(resolve, random.below(150)));
      const victim = workers.shift()!;
      victim.kill('SIGKILL');
      await victim.exited;
    }
    await waitFor(async () => (await scene.statuses('run-'))['completed'] === KILLS * IN_FLIGHT, {
      timeoutMs: 60_000,
      message: `all to complete (seed ${seed})`,
    }).catch(async (error: Error) => {
      throw new Error(`${error.message}: ${JSON.stringify(await scene.statuses('run-'))}`);
    });

    const [sums] = await scene.database.query(
      `SELECT count(*)::int AS runs, count(*) FILTER (WHERE output::text = $1)::int AS right FROM durable.workflow_runs WHERE starts_with(id, 'run-')`,
      [String(SUM)],
    );
    expect(sums).toEqual({ runs: KILLS * IN_FLIGHT, right: KILLS * IN_FLIGHT });
    const [steps] = await scene.database.query(
      `SELECT count(*)::int AS recorded, count(DISTINCT (run_id, step_key))::int AS different FROM durable.workflow_steps`,
    );
    expect(steps).toEqual({ recorded: KILLS * IN_FLIGHT * STEPS, different: KILLS * IN_FLIGHT * STEPS });
    // A body is executed again only when a kill cut it off: at most as often as the run was lost.
    const repeated = await scene.database.query(
      `SELECT run_id, bodies, lost FROM (
         SELECT b.run_id, count(*) - count(DISTINCT b.step_key) AS bodies,
           (SELECT count(*) FROM durable.workflow_run_log e WHERE e.run_id = b.run_id AND e.kind = 'worker_lost') AS lost
         FROM bodies b GROUP BY 1) AS each WHERE bodies > lost`,
    );
    expect(repeated).toEqual([]);
    const [{ lost }] = await scene.database.query(`SELECT count(*)::int AS lost FROM durable.workflow_run_log WHERE kind = 'worker_lost'`);
    expect(lost).toBeGreaterThan(KILLS);
  });
});
