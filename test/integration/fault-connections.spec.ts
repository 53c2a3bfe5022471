import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';

import { FaultScene, range } from '../support/faults/fault-workers.js';
import { FaultProxy } from '../support/faults/proxy.js';
import type { SpawnedProcess } from '../support/processes.js';
import { waitFor } from '../support/wait.js';

describe('a worker whose connections are cut', () => {
  let scene: FaultScene;
  let proxy: FaultProxy;
  beforeAll(async () => {
    scene = await FaultScene.create();
    proxy = await FaultProxy.start(scene.database.url);
  });
  afterEach(async () => {
    proxy.restore();
    await scene.reset();
  });
  afterAll(async () => {
    await scene.close();
    await proxy.stop();
  });

  const quiet = (worker: SpawnedProcess): void => {
    expect(worker.stdoutLines.filter((line) => /^(ERROR|UNHANDLED)/.test(line))).toEqual([]);
    expect(worker.child.exitCode).toBeNull();
  };

  async function allCompleteOnce(prefix: string, runs: number, steps: number): Promise<void> {
    await waitFor(async () => (await scene.statuses(prefix))['completed'] === runs, {
      timeoutMs: 15_000,
      message: 'all to complete',
    }).catch(async (error: Error) => {
      throw new Error(`${error.message}: ${JSON.stringify(await scene.statuses(prefix))}`);
    });
    const [row] = await scene.database.query('SELECT count(*)::int AS steps FROM durable.workflow_steps WHERE starts_with(run_id, $1)', [
      prefix,
    ]);
    expect(row).toEqual({ steps: runs * steps });
  }

  it('by pg_terminate_backend, all of them again and again, completes its runs and lives', async () => {
    const worker = await scene.ready();
    for (let round = 0; round < 8; round++) {
      await scene.start('adder', { steps: 5, ms: 20 }, range(`end-${round}-`, 20));
      await scene.database.query(
        `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'nestjs-durable' AND datname = current_database()`,
      );
    }
    await allCompleteOnce('end-', 160, 5);
    quiet(worker);
  });

  it.each([
    ['shorter than its session', '30s', 1_500],
    ['longer than its session', '2s', 3_500],
  ])('for a time %s goes on where it was', async (what, sessionTtl, outageMs) => {
    const prefix = `${what}-`;
    const worker = await scene.ready({ url: proxy.url, worker: { sessionTtl } });
    await scene.start('adder', { steps: 8, ms: 50 }, range(prefix, 40));
    await waitFor(
      async () => (await scene.database.query('SELECT 1 FROM durable.workflow_steps WHERE starts_with(run_id, $1)', [prefix])).length > 40,
    );
    proxy.refuse();
    await new Promise((resolve) => setTimeout(resolve, outageMs));
    proxy.restore();
    await allCompleteOnce(prefix, 40, 8);
    quiet(worker);
    // Nobody else was there to take over: nothing was lost, and no body was executed twice.
    const [{ bodies }] = await scene.database.query('SELECT count(*)::int AS bodies FROM bodies WHERE starts_with(run_id, $1)', [prefix]);
    expect(bodies).toBe(320);
  });

  it.each([
    ['a claim', 'durable_claim', 'adder', { steps: 2, ms: 5 }],
    ['a claim of lost runs', 'durable_claim_suspects', 'adder', { steps: 2, ms: 5 }],
    ['a flush', 'durable_flush_', 'adder', { steps: 2, ms: 5 }],
    ['the note that a run is executed alone', 'durable_note_alone', 'adder', { steps: 2, ms: 5 }],
    ['a load of histories', 'durable_load_steps', 'adder', { steps: 2, ms: 5 }],
  ])('before the answer to %s executes the runs all the same', async (_, statement, name, input) => {
    const prefix = `${statement}-`;
    const worker = await scene.ready({ url: proxy.url });
    const suspects = statement !== 'durable_claim' && statement !== 'durable_flush_';
    const cut = proxy.cutAfterCommit(statement);
    await scene.application.client.start(name, input, { id: `${prefix}0`, ...(suspects ? { delay: '100ms' } : {}) });
    if (suspects) {
      // As if it had been lost with a worker, after a claim.
      await scene.database.query('UPDATE durable.workflow_runs SET losses = 5, epoch = 1 WHERE id = $1', [`${prefix}0`]);
    }
    await cut;
    await allCompleteOnce(prefix, 1, 2);
    quiet(worker);
  });
});
