import { Test } from '@nestjs/testing';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';

import { defineSignal, Schedule, Workflow, WorkflowModule, type WorkflowContext } from '../../src/index.js';
import { WorkflowTest } from '../../src/testing/index.js';

const done = defineSignal('done');

@Schedule({ cron: '30 2 * * *', timezone: 'Europe/Berlin', input: { kind: 'daily' } })
@Workflow({ name: 'nightly' })
class Nightly {
  async run(input: { kind: string }, ctx: WorkflowContext): Promise<string> {
    return `${input.kind} ${ctx.schedule?.name} ${ctx.schedule?.dueAt.toISOString()}`;
  }
}

@Workflow({ name: 'long' })
class Long {
  async run(_input: void, ctx: WorkflowContext): Promise<string> {
    await ctx.waitForSignal(done);
    return ctx.schedule!.dueAt.toISOString();
  }
}

@Workflow({ name: 'looping' })
class Looping {
  async run(round: number, ctx: WorkflowContext): Promise<string> {
    if (round > 0) return ctx.continueAsNew(Looping, round - 1);
    await ctx.waitForSignal(done);
    return ctx.schedule!.dueAt.toISOString();
  }
}

describe('schedules under the clock of a test', () => {
  let test: WorkflowTest;
  beforeAll(async () => {
    const builder = Test.createTestingModule({ imports: [WorkflowModule.forRoot({})], providers: [Nightly, Long, Looping] });
    // The day before clocks go forward in Berlin, at noon.
    test = await WorkflowTest.create(builder, { startAt: new Date('2027-03-27T12:00:00Z') });
  });
  afterAll(() => test?.close());

  const runsOf = async (name: string): Promise<string[]> =>
    (await test.client.schedules.get(name, { runs: 100 })).runs.map(({ dueAt }) => dueAt.toISOString()).toReversed();

  it('starts a run each day at the same wall time, also on the day without that time', async () => {
    await test.advance('3 days');
    const due = ['2027-03-28T01:00:00.000Z', '2027-03-29T00:30:00.000Z', '2027-03-30T00:30:00.000Z'];
    expect(await runsOf('nightly')).toEqual(due);
    const { runs, next, last, declared, lastRunId } = await test.client.schedules.get('nightly');
    expect([next, last, declared]).toEqual([new Date('2027-03-31T00:30:00Z'), new Date(due[2]!), true]);
    expect(lastRunId).toBe(runs[0]!.runId);
    expect(await test.client.getHandle(runs[2]!.runId).result()).toBe(`daily nightly ${due[0]}`);
  });

  it('skips, queues, allows or cancels runs that overlap', async () => {
    const { schedules } = test.client;
    const startAt = new Date(test.now().getTime() + 3_600_000);
    const policies = ['skip', 'queue', 'allow', 'cancelPrevious'] as const;
    for (const overlap of policies) await schedules.create(overlap, { workflow: Long, every: '1h', startAt, overlap });
    await test.advance('3h');
    const hours = [0, 1, 2].map((hour) => new Date(startAt.getTime() + hour * 3_600_000).toISOString());
    expect(await Promise.all(policies.map(runsOf))).toEqual([[hours[0]], [hours[0]], hours, hours]);
    const found = await Promise.all(policies.map((name) => schedules.get(name)));
    expect(found.map(({ skipped }) => skipped)).toEqual([2, 1, 0, 0]);
    expect(found[1]!.queued).toEqual(new Date(hours[1]!));
    expect(found[3]!.runs.map(({ status }) => status)).toEqual(['waiting', 'cancelled', 'cancelled']);
    // The queued run starts when the first one ends, and stands for its own due time.
    await test.client.signal(found[1]!.runs[0]!.runId, done);
    await test.runUntilIdle();
    expect(await runsOf('queue')).toEqual([hours[0], hours[1]]);
    for (const name of policies) await schedules.delete(name);
  });

  it('counts a run that continues as another run as not ended', async () => {
    const { schedules } = test.client;
    await schedules.create('loop', { workflow: Looping, every: '1h', input: 2 });
    await test.advance('2h');
    const { runs, skipped } = await schedules.get('loop');
    expect(runs.map(({ status }) => status)).toEqual(['continued']);
    expect(skipped).toBe(1);
    const run = test.client.getHandle(runs[0]!.runId);
    await test.client.signal(run.runId, done);
    expect(await run.result()).toBe(runs[0]!.dueAt.toISOString());
    await test.advance('1h');
    expect(await runsOf('loop')).toHaveLength(2);
    await schedules.delete('loop');
  });

  it('drops due times of a pause, and keeps those between its end and now', async () => {
    const { schedules } = test.client;
    await schedules.create('paused', { workflow: Nightly, every: '1h', input: { kind: 'hourly' } });
    const { createdAt } = await schedules.get('paused');
    const hour = (count: number): Date => new Date(createdAt.getTime() + count * 3_600_000);
    await schedules.pause('paused', { until: hour(2.5), reason: 'holidays' });
    expect(await schedules.get('paused')).toMatchObject({ state: 'paused', pausedUntil: hour(2.5), pauseReason: 'holidays' });
    await test.advance('4h');
    expect(await runsOf('paused')).toEqual([hour(3), hour(4)].map((date) => date.toISOString()));
    await schedules.pause('paused');
    await test.advance('150m');
    expect(await schedules.resume('paused')).toMatchObject({ state: 'active', next: hour(7) });
    await test.advance('1h');
    expect(await runsOf('paused')).toHaveLength(3);
    await schedules.delete('paused');
  });

  it('keeps the schedule of a run in a fork', async () => {
    const [run] = (await test.client.schedules.get('nightly')).runs;
    const fork = await test.client.fork(run!.runId);
    await test.runUntilIdle();
    expect(await fork.result()).toBe(`daily nightly ${run!.dueAt.toISOString()}`);
  });
});
