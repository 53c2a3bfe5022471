import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';

import { Workflow, type WorkflowContext } from '../../../src/index.js';
import { closeApplications, startApplication } from '../../support/application.js';
import { createTestDatabase, type TestDatabase } from '../../support/database.js';
import { seconds, waitFor } from '../../support/wait.js';

/** Longer than a loaded machine takes to suspend a run that sleeps. */
const SLEEP_MS = seconds(1);

interface Facts {
  now: number;
  random: number;
  uuid: string;
}
let passes: Facts[][] = [];

@Workflow({ name: 'deterministic' })
class DeterministicWorkflow {
  async run(_input: void, ctx: WorkflowContext): Promise<Facts[]> {
    const facts: Facts[] = [];
    passes.push(facts);
    const note = () => facts.push({ now: ctx.now().getTime(), random: ctx.random(), uuid: ctx.uuid() });
    note();
    await ctx.step('work', () => new Promise((resolve) => setTimeout(resolve, 20)));
    note();
    await ctx.sleep(SLEEP_MS);
    note();
    return facts;
  }
}

@Workflow({ name: 'sleeper' })
class SleeperWorkflow {
  async run(duration: number, ctx: WorkflowContext): Promise<string> {
    await ctx.sleep(duration);
    return ctx.step('after', () => 'rested');
  }
}

@Workflow({ name: 'until' })
class UntilWorkflow {
  async run(date: Date, ctx: WorkflowContext): Promise<number> {
    await ctx.sleepUntil(date);
    return ctx.now().getTime();
  }
}

@Workflow({ name: 'quick' })
class QuickWorkflow {
  async run(_input: void, ctx: WorkflowContext): Promise<string> {
    return ctx.step('quick', () => 'quick');
  }
}

let finals = 0;

@Workflow({ name: 'guarded' })
class GuardedWorkflow {
  async run(_input: void, ctx: WorkflowContext): Promise<string> {
    try {
      await Promise.race([ctx.sleep(SLEEP_MS), ctx.sleep('1 day')]);
    } catch {
      return 'caught';
    } finally {
      finals++;
    }
    return 'won';
  }
}

describe('a run that only waits', () => {
  let database: TestDatabase;
  beforeAll(async () => {
    database = await createTestDatabase();
  });
  afterEach(closeApplications);
  afterAll(() => database.drop());

  const boot = async (worker = {}) => {
    const workflows = [DeterministicWorkflow, SleeperWorkflow, UntilWorkflow, QuickWorkflow, GuardedWorkflow];
    return (await startApplication(database.url, workflows, { worker: { suspendAfter: 10, ...worker } })).client;
  };
  const rowOf = async (runId: string) => (await database.query('SELECT * FROM durable.workflow_runs WHERE id = $1', [runId]))[0];

  it('is suspended without an owner until its wake time, and resumes then', async () => {
    const client = await boot();
    const handle = await client.start(SleeperWorkflow, SLEEP_MS);
    const row = await waitFor(async () => {
      const found = await rowOf(handle.runId);
      return found.status === 'waiting' && found;
    });
    expect(row).toMatchObject({ session_id: null, finished_at: null, ready_at: null });
    expect(row.wake_at.getTime() - row.started_at.getTime()).toBeGreaterThanOrEqual(SLEEP_MS - 1);
    const description = await handle.describe();
    expect(description).toMatchObject({
      status: 'waiting',
      waits: [{ stepKey: 'sleep', kind: 'sleep', wakeAt: row.wake_at, attempts: 0 }],
    });
    await expect(handle.result()).resolves.toBe('rested');
    const [sleep] = await handle.steps();
    expect(sleep).toMatchObject({ stepKey: 'sleep', kind: 'sleep', status: 'completed' });
    expect(sleep!.finishedAt.getTime()).toBeGreaterThanOrEqual(row.wake_at.getTime());
    expect(await rowOf(handle.runId)).toMatchObject({ epoch: 2, wake_at: null, status: 'completed' });
    expect(await database.query('SELECT * FROM durable.workflow_waits WHERE run_id = $1', [handle.runId])).toEqual([]);
  });

  it('holds no slot: with one slot, another run completes meanwhile', async () => {
    const client = await boot({ concurrency: 1 });
    const sleepers = await client.startMany(SleeperWorkflow, [60_000, 60_000, 60_000]);
    await expect(client.execute(QuickWorkflow)).resolves.toBe('quick');
    for (const sleeper of sleepers) await waitFor(async () => (await sleeper.status()) === 'waiting');
    await expect(client.execute(QuickWorkflow)).resolves.toBe('quick');
  });

  it('holds no slot even before it is suspended', async () => {
    const client = await boot({ concurrency: 1, suspendAfter: '1m' });
    const sleeper = await client.start(SleeperWorkflow, 3_600_000);
    await waitFor(async () => (await rowOf(sleeper.runId)).status === 'running');
    await expect(client.execute(QuickWorkflow)).resolves.toBe('quick');
    await expect(sleeper.status()).resolves.toBe('running');
    await client.resolveStep(sleeper.runId, 'sleep', { output: null });
    await expect(sleeper.result()).resolves.toBe('rested');
    expect(await rowOf(sleeper.runId)).toMatchObject({ epoch: 1 });
  });

  it('sees the same time, random numbers and UUIDs in every pass', async () => {
    const client = await boot();
    passes = [];
    const handle = await client.start(DeterministicWorkflow);
    const facts = await handle.result();
    expect(passes).toHaveLength(2);
    expect(passes[1]!.slice(0, 2)).toEqual(passes[0]);
    expect(facts).toEqual(passes[1]);
    const [first, second, third] = facts;
    expect(second!.now - first!.now).toBeGreaterThanOrEqual(19);
    expect(third!.now - second!.now).toBeGreaterThanOrEqual(SLEEP_MS - 1);
    expect(new Set(facts.map(({ uuid }) => uuid)).size).toBe(3);
    expect(new Set(facts.map(({ random }) => random)).size).toBe(3);
    for (const { random, uuid } of facts) {
      expect(random).toBeGreaterThanOrEqual(0);
      expect(random).toBeLessThan(1);
      expect(uuid).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
    }
    const other = await client.execute(DeterministicWorkflow);
    expect(other[0]!.uuid).not.toBe(first!.uuid);
  });

  it('continues at once after ctx.sleepUntil with a date in the past', async () => {
    const client = await boot();
    await expect(client.execute(UntilWorkflow, new Date(0))).resolves.toBeGreaterThan(Date.now() - 60_000);
  });

  it('continues no earlier than the date given to ctx.sleepUntil', async () => {
    const client = await boot();
    const date = new Date(Date.now() + 200);
    await expect(client.execute(UntilWorkflow, date)).resolves.toBeGreaterThanOrEqual(date.getTime());
  });

  it('executes neither catch nor finally when it is suspended', async () => {
    const client = await boot();
    finals = 0;
    const handle = await client.start(GuardedWorkflow);
    await waitFor(async () => (await handle.status()) === 'waiting');
    expect(finals).toBe(0);
    await expect(handle.result()).resolves.toBe('won');
    expect(finals).toBe(1);
    expect((await handle.steps()).map(({ stepKey }) => stepKey)).toEqual(['sleep']);
    expect(await database.query('SELECT * FROM durable.workflow_waits WHERE run_id = $1', [handle.runId])).toEqual([]);
  });

  it('resumes in another process after the process that suspended it has closed', async () => {
    const first = await boot();
    const { runId } = await first.start(SleeperWorkflow, SLEEP_MS);
    await waitFor(async () => (await first.status(runId)) === 'waiting');
    await closeApplications();
    const second = await boot();
    await expect(second.getHandle(SleeperWorkflow, runId).result()).resolves.toBe('rested');
  });
});
