import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';

import { InvalidInputError, Workflow, type WorkflowClient, type WorkflowContext } from '../../src/index.js';
import { closeApplications, startApplication, type TestApplication } from '../support/application.js';
import { createTestDatabase, type TestDatabase } from '../support/database.js';
import { waitFor } from '../support/wait.js';
import { configured } from './configured.js';

const active = new Set<string>();
let most = 0;
let isHeld = false;

@Workflow({ name: 'held' })
class HeldWorkflow {
  async run(_input: void, ctx: WorkflowContext): Promise<void> {
    await ctx.step('body', async () => {
      active.add(ctx.runId);
      most = Math.max(most, active.size);
      if (isHeld) await waitFor(() => !isHeld);
      active.delete(ctx.runId);
    });
  }
}

describe('client.queues', () => {
  let client: WorkflowClient;
  let other: WorkflowClient;
  let database: TestDatabase;
  beforeAll(async () => {
    database = await createTestDatabase();
    const boot = (): Promise<TestApplication> =>
      startApplication(database.url, [HeldWorkflow], {
        ...configured(),
        queues: { declared: { concurrency: 2 } },
        worker: { queues: ['default', 'declared', 'free', 'stopped', 'cleared'] },
      });
    client = (await boot()).client;
    other = (await boot()).client;
  });
  afterEach(() => {
    isHeld = false;
    most = 0;
  });
  afterAll(async () => {
    isHeld = false;
    await closeApplications();
    await database.drop();
  });

  const isActive = (count: number): Promise<boolean> => waitFor(() => active.size === count, { message: `${count} bodies` });
  const start = (queue: string, count: number, queueKey?: string) =>
    client.startMany(HeldWorkflow, Array.from({ length: count }), { queue, ...(queueKey === undefined ? {} : { queueKey }) });

  it('lists limits with their origin, and how many runs have and want places', async () => {
    isHeld = true;
    const handles = await start('declared', 5);
    await isActive(2);
    expect(await other.queues.get('declared')).toEqual({
      name: 'declared',
      limits: { concurrency: 2 },
      source: 'options',
      declared: { concurrency: 2 },
      paused: false,
      waiting: 3,
      oldestSince: expect.any(Date),
      places: 2,
      suspendedPlaces: 0,
    });
    expect((await client.queues.list()).map(({ name }) => name)).toContain('declared');
    const waiting = handles.find(({ runId }) => !active.has(runId))!;
    const { waitingFor } = await waiting.describe();
    expect(waitingFor).toEqual([
      expect.objectContaining({ kind: 'place', queue: 'declared', limit: 'concurrency', position: expect.any(Number) }),
    ]);
    const { runs } = await other.list({ queue: 'declared', status: ['waiting', 'running'] });
    const reasonOf = new Map(runs.map(({ runId, waitingFor: place }) => [runId, place]));
    expect(reasonOf.get(waiting.runId)).toEqual({ queue: 'declared', key: undefined, limit: 'concurrency' });
    const { queues } = await other.health();
    expect(queues.find(({ queue }) => queue === 'declared')).toEqual({
      queue: 'declared',
      waiting: 3,
      oldestSince: expect.any(Date),
      places: 2,
      paused: false,
    });
    expect([...active].map((runId) => reasonOf.get(runId))).toEqual([undefined, undefined]);
    isHeld = false;
    await Promise.all(handles.map((handle) => handle.result()));
  });

  it('replaces limits for all processes, and returns to the declared ones', async () => {
    isHeld = true;
    await client.queues.configure('declared', { concurrency: 4 });
    const handles = await start('declared', 6);
    await isActive(4);
    const { source, limits, declared } = await other.queues.get('declared');
    expect({ source, limits, declared }).toEqual({ source: 'override', limits: { concurrency: 4 }, declared: { concurrency: 2 } });
    await other.queues.configure('declared', 'declared');
    expect(await client.queues.get('declared')).toMatchObject({ source: 'options', limits: { concurrency: 2 } });
    isHeld = false;
    await Promise.all(handles.map((handle) => handle.result()));
  });

  it('limits a queue that had no limits, with the runs that it has', async () => {
    isHeld = true;
    const before = await start('free', 2);
    await isActive(2);
    await client.queues.configure('free', { concurrency: 2 });
    const after = await start('free', 3);
    await waitFor(async () => (await client.queues.get('free')).waiting === 3);
    expect(active.size).toBe(2);
    isHeld = false;
    await Promise.all([...before, ...after].map((handle) => handle.result()));
    expect(most).toBe(2);
    await client.queues.configure('free', {});
    await Promise.all((await start('free', 3)).map((handle) => handle.result()));
  });

  it('pauses and resumes a queue', async () => {
    await client.queues.pause('stopped');
    const handles = await start('stopped', 3);
    await waitFor(async () => (await other.queues.get('stopped')).waiting === 3);
    const [description] = (await handles[0]!.describe()).waitingFor;
    expect(description).toMatchObject({ kind: 'place', limit: 'paused' });
    expect((await client.queues.get('stopped')).paused).toBe(true);
    expect((await other.health()).queues).toContainEqual(
      expect.objectContaining({ queue: 'stopped', waiting: 3, places: 0, paused: true }),
    );
    const { runs } = await client.list({ queue: 'stopped', status: 'waiting' });
    expect(runs.map(({ waitingFor }) => waitingFor)).toEqual(handles.map(() => ({ queue: 'stopped', key: undefined, limit: 'paused' })));
    await other.queues.resume('stopped');
    await Promise.all(handles.map((handle) => handle.result()));
  });

  it('clears the runs of one key, or all runs that wait', async () => {
    await client.queues.pause('cleared');
    const [a, b] = [await start('cleared', 2, 'a'), await start('cleared', 2, 'b')];
    expect(await client.queues.clear('cleared', { key: 'a', reason: 'left' })).toBe(2);
    expect(await Promise.all(a.map((handle) => handle.status()))).toEqual(['cancelled', 'cancelled']);
    expect(await other.queues.clear('cleared')).toBe(2);
    expect(await Promise.all(b.map((handle) => handle.status()))).toEqual(['cancelled', 'cancelled']);
    expect(await client.queues.get('cleared')).toMatchObject({ waiting: 0, places: 0 });
    await client.queues.resume('cleared');
  });

  it('refuses limits that are not valid, and stores nothing', async () => {
    const rate = (period: unknown, limit: unknown = 1): never => ({ rateLimit: { limit, period } }) as never;
    const wrong = [{ concurrency: 0 }, { concurrency: 1.5 }, { perWorker: -1 }, { fairness: 'lifo' }, { other: 1 }, { key: 3 }] as never[];
    for (const limits of [...wrong, rate('1ms'), rate('400d'), rate('1s', 0), rate(undefined), null as never, 'other' as never])
      await expect(client.queues.configure('never', limits)).rejects.toThrow(InvalidInputError);
    for (const name of ['', 7 as never]) await expect(client.queues.pause(name)).rejects.toThrow(InvalidInputError);
    expect((await client.queues.list()).some(({ name }) => name === 'never')).toBe(false);
  });
});
