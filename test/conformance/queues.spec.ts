import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';

import { defineSignal, InvalidInputError, Workflow, type WorkflowClient, type WorkflowContext } from '../../src/index.js';
import { closeApplications, startApplication, type TestApplication } from '../support/application.js';
import { createTestDatabase, type TestDatabase } from '../support/database.js';
import { waitFor } from '../support/wait.js';
import { configured } from './configured.js';

const go = defineSignal('go');

/** Bodies that are being executed, by their group. All applications share this process. */
const active = new Map<string, Set<string>>();
/** Largest number of bodies of a group that were executed at once. */
const most = new Map<string, number>();
const order: string[] = [];
let isHeld = false;

async function body(group: string, id: string, ms: number): Promise<void> {
  const members = active.get(group) ?? new Set();
  active.set(group, members.add(id));
  most.set(group, Math.max(most.get(group) ?? 0, members.size));
  order.push(id);
  await new Promise((resolve) => setTimeout(resolve, ms));
  if (isHeld) await waitFor(() => !isHeld);
  members.delete(id);
}

interface Work {
  readonly group: string;
  readonly tenant?: string;
  readonly ms?: number;
}

@Workflow({ name: 'work', queueKey: ({ tenant }: Work) => tenant ?? 'nobody' })
class WorkWorkflow {
  async run({ group, ms = 5 }: Work, ctx: WorkflowContext): Promise<string> {
    await ctx.step('body', () => body(group, ctx.runId, ms));
    return ctx.runId;
  }
}

@Workflow({ name: 'patient' })
class PatientWorkflow {
  async run(group: string, ctx: WorkflowContext): Promise<void> {
    await ctx.step('before', () => body(group, ctx.runId, 1));
    await ctx.waitForSignal(go);
    await ctx.step('after', () => body(group, ctx.runId, 1));
  }
}

@Workflow({ name: 'family', queue: 'ones' })
class FamilyWorkflow {
  async run(left: number, ctx: WorkflowContext): Promise<number> {
    await ctx.step('body', () => body('family', ctx.runId, 1));
    return left === 0 ? 0 : 1 + (await ctx.invoke(FamilyWorkflow, left - 1));
  }
}

@Workflow({ name: 'chain', queue: 'ones' })
class ChainWorkflow {
  async run(left: number, ctx: WorkflowContext): Promise<string> {
    await ctx.step('body', () => body('chain', ctx.runId, 1));
    if (left > 0) await ctx.continueAsNew(ChainWorkflow, left - 1);
    return 'end';
  }
}

@Workflow({ name: 'lazy', queueKey: (async () => 'late') as never })
class LazyWorkflow {
  async run(_input: void, _ctx: WorkflowContext): Promise<void> {}
}

@Workflow({
  name: 'throwing',
  queueKey: () => {
    throw new Error('no key for this');
  },
})
class ThrowingWorkflow {
  async run(_input: void, _ctx: WorkflowContext): Promise<void> {}
}

const PROVIDERS = [WorkWorkflow, PatientWorkflow, FamilyWorkflow, ChainWorkflow, LazyWorkflow, ThrowingWorkflow];
const QUEUES = {
  threes: { concurrency: 3 },
  ones: { concurrency: 1 },
  kept: { concurrency: 1, countSuspended: true },
  tenants: { key: { concurrency: 1 } },
  shared: { concurrency: 2, key: { concurrency: 1 } },
  ordered: { concurrency: 1, fairness: 'fifo' },
} as const;

describe('queues with limits', () => {
  let applications: TestApplication[];
  let client: WorkflowClient;
  let database: TestDatabase;
  beforeAll(async () => {
    database = await createTestDatabase();
    const worker = { queues: ['default', ...Object.keys(QUEUES)], suspendAfter: 20 };
    const boot = (): Promise<TestApplication> => startApplication(database.url, PROVIDERS, { ...configured(), queues: QUEUES, worker });
    applications = [await boot(), await boot()];
    ({ client } = applications[0]!);
  });
  afterEach(() => {
    isHeld = false;
  });
  afterAll(async () => {
    isHeld = false;
    await closeApplications();
    await database.drop();
  });

  const results = (handles: readonly { result(): Promise<unknown> }[]): Promise<unknown[]> =>
    Promise.all(handles.map((each) => each.result()));
  const isRunning = (group: string, count: number): Promise<unknown> =>
    waitFor(() => active.get(group)?.size === count, { message: `${count} bodies of ${group}` });
  const placeOf = async (id: string): Promise<unknown> =>
    (await database.query(`SELECT place FROM durable.workflow_runs WHERE id = '${id}'`))[0]?.place;

  it('execute at most as many runs as the queue has places, and use all places', async () => {
    isHeld = true;
    const handles = await client.startMany(
      WorkWorkflow,
      Array.from({ length: 20 }, () => ({ group: 'threes' })),
      { queue: 'threes' },
    );
    await isRunning('threes', 3);
    expect(
      await database.query(`SELECT count(*)::int AS n FROM durable.workflow_runs WHERE queue = 'threes' AND place = 'queued'`),
    ).toEqual([{ n: 17 }]);
    isHeld = false;
    await results(handles);
    expect(most.get('threes')).toBe(3);
  });

  it('execute one run of each key at a time, and runs of different keys together', async () => {
    isHeld = true;
    const inputs = Array.from({ length: 24 }, (_, index) => ({ group: `tenant-${index % 4}`, tenant: `${index % 4}` }));
    const handles = await client.startMany(WorkWorkflow, inputs, { queue: 'tenants' });
    for (const key of [0, 1, 2, 3]) await isRunning(`tenant-${key}`, 1);
    isHeld = false;
    await results(handles);
    for (const key of [0, 1, 2, 3]) expect(most.get(`tenant-${key}`)).toBe(1);
  });

  it('let keys take turns, so that a key with many runs does not hold up another', async () => {
    isHeld = true;
    const first = await client.start(WorkWorkflow, { group: 'shared', tenant: 'big' }, { queue: 'shared' });
    await isRunning('shared', 1);
    const many = await client.startMany(
      WorkWorkflow,
      Array.from({ length: 30 }, () => ({ group: 'shared', tenant: 'big' })),
      { queue: 'shared' },
    );
    const small = await client.start(WorkWorkflow, { group: 'shared', tenant: 'small' }, { queue: 'shared' });
    await isRunning('shared', 2);
    expect([...active.get('shared')!].sort()).toEqual([first.runId, small.runId].sort());
    isHeld = false;
    await results([first, small, ...many]);
    expect(most.get('shared')).toBe(2);
  });

  it('admit runs in the order of their priority', async () => {
    isHeld = true;
    const first = await client.start(WorkWorkflow, { group: 'priority' }, { queue: 'ones' });
    await isRunning('priority', 1);
    const low = await client.start(WorkWorkflow, { group: 'priority' }, { queue: 'ones', priority: 1 });
    const high = await client.start(WorkWorkflow, { group: 'priority' }, { queue: 'ones', priority: 2 });
    isHeld = false;
    await results([first, low, high]);
    expect(order.filter((id) => [low.runId, high.runId].includes(id))).toEqual([high.runId, low.runId]);
  });

  it("admit runs in the order of their starts with fairness 'fifo'", async () => {
    isHeld = true;
    const first = await client.start(WorkWorkflow, { group: 'fifo', tenant: 'z' }, { queue: 'ordered' });
    await isRunning('fifo', 1);
    const others = [];
    for (const tenant of ['c', 'a', 'b', 'a'])
      others.push(await client.start(WorkWorkflow, { group: 'fifo', tenant }, { queue: 'ordered' }));
    isHeld = false;
    await results([first, ...others]);
    const ids = others.map(({ runId }) => runId);
    expect(order.filter((id) => ids.includes(id))).toEqual(ids);
  });

  it('do not count a run that waits, and give it a place again before it continues', async () => {
    const waiting = await client.start(PatientWorkflow, 'patient', { queue: 'ones' });
    await waitFor(async () => (await placeOf(waiting.runId)) === 'outside');
    isHeld = true;
    const other = await client.start(WorkWorkflow, { group: 'patient' }, { queue: 'ones' });
    await isRunning('patient', 1);
    await waiting.signal(go, undefined);
    await waitFor(async () => (await placeOf(waiting.runId)) === 'queued');
    isHeld = false;
    await results([other, waiting]);
    expect(most.get('patient')).toBe(1);
  });

  it('count a run that waits with countSuspended', async () => {
    const waiting = await client.start(PatientWorkflow, 'kept', { queue: 'kept' });
    await waitFor(async () => (await waiting.status()) === 'waiting' && (await placeOf(waiting.runId)) === 'kept');
    const other = await client.start(WorkWorkflow, { group: 'kept' }, { queue: 'kept' });
    await waitFor(async () => (await placeOf(other.runId)) === 'queued');
    await waiting.signal(go, undefined);
    await results([waiting, other]);
  });

  it('do not deadlock when a run waits for a child of the same queue, or continues as new', async () => {
    expect(await client.execute(FamilyWorkflow, 4)).toBe(4);
    expect(await client.execute(ChainWorkflow, 4)).toBe('end');
    expect([most.get('family'), most.get('chain')]).toEqual([1, 1]);
  });

  it.each(['cancel', 'pause', 'terminate'] as const)('give the place of a run to another one: %s', async (operation) => {
    const group = `operation-${operation}`;
    const holder = await client.start(PatientWorkflow, group, { queue: 'kept' });
    await waitFor(async () => (await placeOf(holder.runId)) === 'kept' && (await holder.status()) === 'waiting');
    const next = await client.start(WorkWorkflow, { group }, { queue: 'kept' });
    const queued = await client.start(WorkWorkflow, { group }, { queue: 'kept' });
    if (operation === 'terminate') await client.terminate(holder.runId, { reason: 'a test', actor: 'test' });
    else await client[operation](holder.runId);
    await results([next, queued]);
    if (operation !== 'pause') return;
    await client.resume(holder.runId);
    await holder.signal(go, undefined);
    await holder.result();
  });

  it('admit delayed runs when they are due', async () => {
    isHeld = true;
    const first = await client.start(WorkWorkflow, { group: 'delayed' }, { queue: 'ones' });
    await isRunning('delayed', 1);
    const late = await client.start(WorkWorkflow, { group: 'delayed' }, { queue: 'ones', delay: '1h' });
    expect(await placeOf(late.runId)).toBe('outside');
    await database.query('UPDATE durable.workflow_runs SET wake_at = now() WHERE id = $1', [late.runId]);
    isHeld = false;
    await results([first, late]);
    expect(most.get('delayed')).toBe(1);
  });

  it('refuse a key that is not valid at the call, and store nothing', async () => {
    const count = async (): Promise<unknown> => (await database.query('SELECT count(*)::int AS n FROM durable.workflow_runs'))[0]?.n;
    const before = await count();
    for (const queueKey of ['', 'x'.repeat(256), 7 as never, null as never])
      await expect(async () => client.start(WorkWorkflow, { group: 'never' }, { queueKey })).rejects.toThrow(InvalidInputError);
    await expect(async () => client.start(LazyWorkflow)).rejects.toThrow(/synchronously/);
    await expect(async () => client.start(ThrowingWorkflow)).rejects.toThrow(InvalidInputError);
    expect(await count()).toBe(before);
  });
});
