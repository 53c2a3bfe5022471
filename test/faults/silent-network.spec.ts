import { describe, expect, it } from '@jest/globals';

import { DatabaseUnavailableError, defineSignal } from '../../src/index.js';
import { startApplication } from '../support/application.js';
import { onProxy, range, troublesOf, type FaultScene } from '../support/faults/fault-workers.js';
import { PATIENCE, seconds, waitFor } from '../support/wait.js';

const recordedSteps = async (scene: FaultScene): Promise<number> =>
  (await scene.database.query<{ steps: number }>('SELECT count(*)::int AS steps FROM durable.workflow_steps'))[0]!.steps;

async function allComplete(scene: FaultScene, prefix: string, runs: number): Promise<void> {
  await waitFor(async () => (await scene.statuses(prefix))['completed'] === runs, { timeoutMs: 60_000, message: 'all to complete' }).catch(
    async (error: Error) => {
      throw new Error(`${error.message}: ${JSON.stringify(await scene.statuses(prefix))}`);
    },
  );
}

/** With DURABLE_CHAOS=1 as long as firewalls and failovers take. */
const SILENCE_MS = process.env['DURABLE_CHAOS'] ? 30_000 : 8_000;

/**
 * Longest milliseconds of a call on a connection that does not answer; docs/connections.md has the
 * usual times.
 */
const BOUND_MS = 45_000;

const timed = async (call: Promise<unknown>): Promise<{ error: unknown; ms: number }> => {
  const began = Date.now();
  const error: unknown = await call.then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  return { error, ms: Date.now() - began };
};

describe('a silent network whose connections stay open', () => {
  it.concurrent(
    'loses and repeats no recorded step, and the application continues when the network works again',
    onProxy(async (scene, proxy) => {
      const worker = await scene.ready({ url: proxy.url });
      const starter = await startApplication(proxy.url, [], { worker: false });
      await scene.start('adder', { steps: 6, ms: 50 }, range('before-', 30));
      await waitFor(async () => (await recordedSteps(scene)) > 30);
      proxy.silence();
      const ids = range('during-', 10);
      const starts = Promise.all(ids.map((id) => timed(starter.client.start('adder', { steps: 2, ms: 5 }, { id }))));
      await new Promise((resolve) => setTimeout(resolve, SILENCE_MS));
      proxy.restore();

      await allComplete(scene, 'before-', 30);
      // A start that was given up may have happened or not; one that was acknowledged has happened.
      for (const [index, { error, ms }] of (await starts).entries()) {
        expect(ms).toBeLessThan(BOUND_MS * PATIENCE);
        if (error === undefined) expect(await scene.statuses(ids[index])).not.toEqual({});
        else expect(error).toBeInstanceOf(DatabaseUnavailableError);
      }
      await scene.start('adder', { steps: 2, ms: 5 }, range('after-', 3));
      await allComplete(scene, 'after-', 3);
      const again = await scene.database.query(`SELECT run_id, step_key, count(*) FROM bodies b
        JOIN durable.workflow_runs r ON r.id = b.run_id WHERE r.worker_losses = 0 GROUP BY 1, 2 HAVING count(*) > 1`);
      expect(again).toEqual([]);
      expect(troublesOf(worker)).toEqual([]);
      await starter.close();
    }),
  );

  it.concurrent(
    'makes every call of the client fail in bounded time',
    onProxy(async (scene, proxy) => {
      const { client, close } = await startApplication(proxy.url, [], { worker: false });
      await scene.start('adder', { steps: 1, ms: 5 }, ['known']);
      await client.list({});
      proxy.silence();
      const calls = {
        start: client.start('adder', {}, { id: 'new' }),
        describe: client.describe('known'),
        list: client.list({}),
        count: client.count({}),
        history: client.history('known'),
        cancel: client.cancel('known'),
        signal: client.signal('known', defineSignal('go'), undefined),
      };
      const outcomes = await Promise.all(Object.entries(calls).map(async ([name, call]) => ({ name, ...(await timed(call)) })));
      for (const { name, error, ms } of outcomes) {
        expect({ name, isTyped: error instanceof DatabaseUnavailableError, error }).toEqual({ name, isTyped: true, error });
        expect({ name, ms, isBounded: ms < BOUND_MS * PATIENCE }).toEqual({ name, ms, isBounded: true });
      }
      await close();
    }),
  );
});

describe('a network with a delay of 125 ms in each direction', () => {
  it.concurrent(
    'causes no takeover, and lets workers execute runs and renew their sessions',
    onProxy(async (scene, proxy) => {
      proxy.delay(125);
      // A worker that stands still for longer is taken over.
      const worker = { sessionTtl: `${3 * PATIENCE}s` };
      const workers = [await scene.ready({ url: proxy.url, worker }), await scene.ready({ url: proxy.url, worker })];
      const far = await startApplication(proxy.url, [], { worker: false });
      const before = await scene.database.query('SELECT id::text, heartbeat_at::text FROM durable.workflow_sessions ORDER BY id');
      const ids = range('far-', 20);
      await Promise.all(ids.map((id) => far.client.start('adder', { steps: 5, ms: 20 }, { id })));
      expect(await far.client.execute('adder', { steps: 2, ms: 5 }, { resultTimeout: seconds(30) })).toBe(3);
      await allComplete(scene, 'far-', 20);
      await waitFor(async () => {
        const now = await scene.database.query('SELECT id::text, heartbeat_at::text FROM durable.workflow_sessions ORDER BY id');
        return (
          now.length === 2 &&
          now.every(({ id, heartbeat_at }, index) => id === before[index].id && heartbeat_at !== before[index].heartbeat_at)
        );
      });
      const [facts] = await scene.database.query(`SELECT (SELECT count(*)::int FROM bodies) AS bodies,
        (SELECT sum(worker_losses)::int FROM durable.workflow_runs) AS losses`);
      expect(facts).toEqual({ bodies: 102, losses: 0 });
      for (const worker of workers) expect(troublesOf(worker)).toEqual([]);
      await far.close();
    }),
  );
});
