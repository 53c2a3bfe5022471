import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';

import { defineSignal, Schedule, Workflow, type ScheduleDetails, type WorkflowContext } from '../../src/index.js';
import { closeApplications } from '../support/application.js';
import { createTestDatabase, type TestDatabase } from '../support/database.js';
import { startPushed, type PushedApplication } from '../support/pushed-application.js';
import { seconds, waitFor } from '../support/wait.js';

const done = defineSignal('done');

@Workflow({ name: 'report' })
class Report {
  async run(_input: void, ctx: WorkflowContext): Promise<Date> {
    return ctx.schedule!.dueAt;
  }
}

@Workflow({ name: 'waiting' })
class Waiting {
  async run(_input: void, ctx: WorkflowContext): Promise<void> {
    await ctx.waitForSignal(done);
  }
}

@Schedule({ every: '1s' })
@Workflow({ name: 'declared' })
class Declared extends Report {}

describe('schedules of an application that QStash drives', () => {
  let database: TestDatabase;
  beforeAll(async () => {
    database = await createTestDatabase();
  });
  afterEach(() => closeApplications());
  afterAll(() => database.drop());

  const withRuns = ({ client }: PushedApplication, name: string): Promise<ScheduleDetails> =>
    waitFor(async () => {
      const found = await client.schedules.get(name);
      return found.runs.some(({ status }) => status === 'completed') ? found : undefined;
    });

  it('start their runs by delayed messages, without a sweep', async () => {
    const app = await startPushed(database.url, [Report, Declared]);
    await app.client.schedules.create('created', { workflow: Report, every: '1s' });
    await withRuns(app, 'created');
    await withRuns(app, 'declared');
    await app.client.schedules.delete('created');
    await app.client.schedules.pause('declared');
  });

  it('start their runs by a chain of messages when no sweep exists and the due time is beyond the longest delay', async () => {
    const app = await startPushed(database.url, [Report], { options: { qstash: { sweep: false, maxDelay: '1s' } } });
    const { createdAt } = await app.client.schedules.create('far', { workflow: Report, every: '3s' });
    const { runs } = await withRuns(app, 'far');
    expect(runs.at(-1)!.dueAt).toEqual(new Date(createdAt.getTime() + 3_000));
    await app.client.schedules.delete('far');
  });

  it('start a queued run when the run before it ends, with two messages and without a sweep', async () => {
    const app = await startPushed(database.url, [Waiting]);
    const { schedules } = app.client;
    const startAt = new Date(Math.floor(Date.now()) + seconds(1));
    const endAt = new Date(startAt.getTime() + 1_500);
    await schedules.create('queued', { workflow: Waiting, every: '1s', overlap: 'queue', startAt, endAt });
    const idle = await waitFor(async () => {
      const found = await schedules.get('queued');
      return found.queued && !found.next && found.runs[0]?.status === 'waiting' ? found : undefined;
    });
    // The call for the second due time may still be delayed.
    await waitFor(() => app.qstash.messages.every(({ state }) => state === 'delivered'));
    const sent = app.qstash.messages.length;
    await app.client.signal(idle.runs[0]!.runId, done);
    const second = await waitFor(async () => {
      const found = await schedules.get('queued');
      return found.runs.length === 2 && found.runs[0]!.status === 'waiting' ? found : undefined;
    });
    expect(second.runs[0]!.dueAt).toEqual(idle.queued);
    expect(second.runs[1]!.status).toBe('completed');
    await app.qstash.settled();
    // One message for the signal, and one for the run that it lets start.
    expect(app.qstash.messages.slice(sent).map(({ url }) => url)).toEqual(Array(2).fill(`${app.ownUrl}/workflow/qstash`));
    await app.client.terminate(second.runs[0]!.runId);
    await schedules.delete('queued');
  });

  it('wake an idle application only for the next due time', async () => {
    const app = await startPushed(database.url, [Waiting, Report]);
    const before = app.qstash.messages.length;
    const inTwoMonths = new Date(Date.now() + 60 * 86_400_000);
    await app.client.schedules.create('far', { workflow: Report, every: '1d', startAt: inTwoMonths });
    await app.client.schedules.create('soon', { workflow: Report, every: '30m' });
    await waitFor(() => app.qstash.messages.length > before);
    await app.sweep();
    await app.qstash.settled();
    const messages = app.qstash.messages.slice(before).filter(({ body }) => body.includes('schedules'));
    // The due time in two months is further away than QStash delays a message.
    expect(messages).toHaveLength(1);
    for (const name of ['far', 'soon']) await app.client.schedules.delete(name);
  });

  it('find a due time whose message was lost by the sweep', async () => {
    const app = await startPushed(database.url, [Report]);
    await app.client.schedules.create('lost', { workflow: Report, every: '1d' });
    await database.query(`UPDATE durable.workflow_schedules SET due_at = now(), fire_at = now() WHERE name = 'lost'`);
    await app.sweep();
    expect((await withRuns(app, 'lost')).runs).toHaveLength(1);
  });
});
