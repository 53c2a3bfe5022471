import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';

import {
  defineSignal,
  InvalidInputError,
  ScheduleAlreadyExistsError,
  ScheduleNotFoundError,
  Workflow,
  type ScheduleDetails,
  type WorkflowContext,
} from '../../src/index.js';
import { closeApplications, startApplication, type TestApplication } from '../support/application.js';
import { createTestDatabase, type TestDatabase } from '../support/database.js';
import { waitFor } from '../support/wait.js';

const done = defineSignal('done');
const DAY_MS = 86_400_000;

@Workflow({ name: 'report' })
class Report {
  async run(input: { tenant: string }, ctx: WorkflowContext): Promise<string> {
    return `${input.tenant} ${ctx.schedule?.dueAt.toISOString()}`;
  }
}

@Workflow({ name: 'waiting' })
class Waiting {
  async run(_input: void, ctx: WorkflowContext): Promise<void> {
    await ctx.waitForSignal(done);
  }
}

describe('schedules', () => {
  let app: TestApplication;
  let database: TestDatabase;
  beforeAll(async () => {
    database = await createTestDatabase();
    const providers = [Report, Waiting];
    app = await startApplication(database.url, providers, { worker: { suspendAfter: 20 } });
    // Another process with the same workflows, which looks for the same due times.
    await startApplication(database.url, providers, { worker: { suspendAfter: 20 } });
  });
  afterAll(async () => {
    await closeApplications();
    await database.drop();
  });

  const get = (name: string): Promise<ScheduleDetails> => app.client.schedules.get(name, { runs: 100 });

  /** Moves the next due time of a schedule into the past, as after an outage. */
  const missSince = async (name: string, since: Date): Promise<void> => {
    await database.query('UPDATE durable.workflow_schedules SET due_at = $2, fire_at = $2, anchor_at = $2 WHERE name = $1', [name, since]);
    // A change by a client announces the schedule; a statement of a test does not.
    await app.client.schedules.update(name, { tags: {} });
  };
  const TENANT = { tenant: 'acme' };

  it('starts one run for each due time, in order and without a gap', async () => {
    await app.client.schedules.create('every second', {
      workflow: Report,
      every: '1s',
      input: TENANT,
      tags: { tenant: 'acme' },
      overlap: 'allow',
    });
    const { runs } = await waitFor(async () => {
      const found = await get('every second');
      // On a slow machine a run may take more than a second, so that a later one is always active.
      return found.runs.filter(({ status }) => status === 'completed').length >= 3 ? found : undefined;
    });
    await app.client.schedules.delete('every second');
    const times = runs.map(({ dueAt }) => dueAt.getTime()).toReversed();
    expect(times.map((time) => time - times[0]!)).toEqual(times.map((_, index) => index * 1_000));
    expect(await app.client.getHandle(runs[0]!.runId).result()).toBe(`acme ${runs[0]!.dueAt.toISOString()}`);
    expect((await app.client.list({ tags: { tenant: 'acme' } })).runs[0]).toMatchObject({ name: 'report' });
  });

  it.each([
    ['none', []],
    ['last', [0]],
    ['all', [2, 1, 0]],
    [{ all: 2 }, [1, 0]],
  ] as const)('catches up with %j after an outage', async (catchUp, daysAgo) => {
    const name = `missed ${JSON.stringify(catchUp)}`;
    await app.client.schedules.create(name, { workflow: Report, every: '1d', input: TENANT, catchUp });
    // The last due time is two hours ago: late enough to be missed, however slow the machine is.
    const last = Math.floor(Date.now()) - 7_200_000;
    await missSince(name, new Date(last - 2 * DAY_MS));
    await waitFor(async () => (await get(name)).next?.getTime() === last + DAY_MS);
    const expected = daysAgo.map((days) => new Date(last - days * DAY_MS));
    await waitFor(async () => (await get(name)).runs.length === expected.length);
    expect((await get(name)).runs.map(({ dueAt }) => dueAt).toReversed()).toEqual(expected);
  });

  it('starts a queued run when the run before it ends', async () => {
    const { schedules } = app.client;
    await schedules.create('queued', { workflow: Waiting, every: '1s', overlap: 'queue' });
    const { runs, queued } = await waitFor(async () => {
      const found = await get('queued');
      return found.queued && found.skipped > 0 ? found : undefined;
    });
    expect(runs).toHaveLength(1);
    expect(queued).toEqual(new Date(runs[0]!.dueAt.getTime() + 1_000));
    await app.client.signal(runs[0]!.runId, done);
    const both = await waitFor(async () => {
      const found = await get('queued');
      return found.runs.length === 2 ? found : undefined;
    });
    expect(both.runs[0]!.dueAt).toEqual(queued);
    await schedules.pause('queued');
    expect((await get('queued')).queued).toBeUndefined();
  });

  it('cancels the run before when the next one is due', async () => {
    await app.client.schedules.create('cancels', { workflow: Waiting, every: '1s', overlap: 'cancelPrevious' });
    await waitFor(async () => (await get('cancels')).runs.length >= 3);
    await app.client.schedules.pause('cancels');
    // Each run but the last one was cancelled, and the last one is not.
    await waitFor(async () => (await get('cancels')).runs.slice(1).every(({ status }) => status === 'cancelled'));
    expect((await get('cancels')).runs[0]!.status).not.toBe('cancelled');
  });

  it('triggers a run, also while the schedule is paused', async () => {
    const { schedules } = app.client;
    await schedules.create('triggered', { workflow: Report, cron: '0 0 1 1 *', timezone: 'Europe/Berlin', input: TENANT });
    const { next } = await schedules.pause('triggered');
    expect(next).toBeUndefined();
    const run = await schedules.trigger('triggered', { input: { tenant: 'other' } });
    const { runs } = await get('triggered');
    expect(runs.map(({ runId }) => runId)).toEqual([run.runId]);
    expect(await run.result()).toBe(`other ${runs[0]!.dueAt.toISOString()}`);
  });

  it('fills a past period once', async () => {
    const { schedules } = app.client;
    await schedules.create('filled', { workflow: Report, cron: '0 8 * * *', timezone: 'Europe/Berlin', input: TENANT });
    const period = { from: new Date('2026-03-27T00:00:00Z'), to: new Date('2026-03-30T00:00:00Z') };
    const started = await schedules.backfill('filled', period);
    expect(started).toEqual(['2026-03-27T07', '2026-03-28T07', '2026-03-29T06'].map((hour) => `filled@${hour}:00:00.000Z`));
    expect(await schedules.backfill('filled', period)).toEqual([]);
    expect(await app.client.getHandle(started[2]!).result()).toBe('acme 2026-03-29T06:00:00.000Z');
    const every = { from: new Date('2020-01-01T00:00:00Z'), to: new Date('2026-01-01T00:00:00Z') };
    await expect(schedules.backfill('filled', every)).rejects.toThrow('at most 1,000 due times');
    await expect(schedules.backfill('filled', { from: new Date(), to: new Date(Date.now() + DAY_MS) })).rejects.toThrow('in the future');
  });

  it('shows the schedule of a run and of its fork, and lists the runs of a schedule', async () => {
    const { client } = app;
    await client.schedules.create('shown', { workflow: Report, cron: '0 8 * * *', input: TENANT });
    const due = new Date('2026-03-27T08:00:00Z');
    const [runId] = await client.schedules.backfill('shown', { from: due, to: new Date('2026-03-27T09:00:00Z') });
    await client.getHandle(runId!).result();
    const fork = await client.fork(runId!);
    const other = await client.start(Report, TENANT);
    const schedule = { name: 'shown', dueAt: due };
    expect((await client.describe(runId!)).schedule).toEqual(schedule);
    expect((await fork.describe()).schedule).toEqual(schedule);
    expect((await other.describe()).schedule).toBeUndefined();
    const { runs } = await client.list({ schedule: 'shown' });
    expect(runs.map((run) => [run.runId, run.schedule])).toEqual([
      [fork.runId, schedule],
      [runId, schedule],
    ]);
    expect(await client.count({ schedule: 'nobody' })).toBe(0);
  });

  it('changes the times from now on', async () => {
    const { schedules } = app.client;
    await schedules.create('changed', { workflow: Report, every: '1d', input: TENANT, endAt: new Date(Date.now() + 30 * DAY_MS) });
    const updated = await schedules.update('changed', {
      cron: '0 0 1 1 *',
      timezone: 'Asia/Tokyo',
      endAt: null,
      overlap: 'allow',
      tags: { a: 'b' },
    });
    expect(updated).toMatchObject({ cron: '0 0 1 1 *', everyMs: undefined, timezone: 'Asia/Tokyo', endAt: undefined, overlap: 'allow' });
    expect(updated.next!.toISOString()).toMatch(/-12-31T15:00:00.000Z$/);
    expect(await schedules.update('changed', { every: '1s', catchUp: 'none' })).toMatchObject({
      cron: undefined,
      overlap: 'allow',
      timezone: 'UTC',
    });
    await waitFor(async () => (await get('changed')).runs.length > 0);
    await schedules.delete('changed');
    await expect(get('changed')).rejects.toBeInstanceOf(ScheduleNotFoundError);
  });

  it('refuses bad calls, and writes nothing', async () => {
    const { schedules } = app.client;
    const create = (options: object): Promise<unknown> => schedules.create('refused', { workflow: Report, input: TENANT, ...options });
    await expect(create({ cron: '0 0 31 4 *' })).rejects.toMatchObject({ code: 'INVALID_INPUT', argument: 'options.cron' });
    await expect(create({ cron: '* * * * *', timezone: 'Mars/Olympus' })).rejects.toMatchObject({ argument: 'options.timezone' });
    await expect(create({ every: '1m', cron: '* * * * *' })).rejects.toMatchObject({ argument: 'options.every' });
    await expect(create({ every: '1m', endAt: new Date(0) })).rejects.toMatchObject({ argument: 'options.endAt' });
    await expect(create({ every: '1m', input: () => 1 })).rejects.toMatchObject({ code: 'SERIALIZATION' });
    await expect(create({ every: '1m', retries: 3 })).rejects.toMatchObject({ argument: 'options.retries' });
    await expect(schedules.create('n'.repeat(201), { workflow: Report, every: '1m', input: TENANT })).rejects.toMatchObject({
      argument: 'name',
    });
    await expect(get('refused')).rejects.toBeInstanceOf(ScheduleNotFoundError);
    await schedules.create('refused', { workflow: Report, every: '1d', input: TENANT });
    await expect(create({ every: '1d' })).rejects.toBeInstanceOf(ScheduleAlreadyExistsError);
    await expect(schedules.update('refused', {})).rejects.toBeInstanceOf(InvalidInputError);
    await expect(schedules.pause('refused', { until: new Date(0) })).rejects.toMatchObject({ argument: 'options.until' });
    for (const count of [0, 1_001, 1.5]) expect(() => schedules.preview({ every: '1h' }, { count })).toThrow(InvalidInputError);
    await expect(schedules.trigger('nobody')).rejects.toBeInstanceOf(ScheduleNotFoundError);
  });

  it('previews due times without a schedule', () => {
    const berlin = { cron: '30 2 * * *', timezone: 'Europe/Berlin' };
    const due = app.client.schedules.preview(berlin, { count: 2, from: new Date('2027-03-28T00:00:00Z') });
    expect(due.map((date) => date.toISOString())).toEqual(['2027-03-28T01:00:00.000Z', '2027-03-29T00:30:00.000Z']);
    const from = new Date('2030-01-01T00:00:00Z');
    expect(
      app.client.schedules.preview({ every: '1h', startAt: from, endAt: new Date(from.getTime() + 3_600_001) }, { from }),
    ).toHaveLength(2);
  });

  it('lists schedules by name and workflow', async () => {
    const names = (await app.client.schedules.list({ workflow: 'report', limit: 1_000 })).map(({ name }) => name);
    expect(names).toEqual(names.toSorted());
    expect(names).toContain('filled');
    expect(names).not.toContain('queued');
    const [first, second] = names;
    expect((await app.client.schedules.list({ workflow: 'report', after: first!, limit: 1 })).map(({ name }) => name)).toEqual([second]);
  });
});
