import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';

import { Schedule, Workflow, type ScheduleDetails, type WorkflowContext } from '../../src/index.js';
import { closeApplications } from '../support/application.js';
import { createTestDatabase, type TestDatabase } from '../support/database.js';
import { startPushed, type PushedApplication } from '../support/pushed-application.js';
import { waitFor } from '../support/wait.js';

@Workflow({ name: 'report' })
class Report {
  async run(_input: void, ctx: WorkflowContext): Promise<Date> {
    return ctx.schedule!.dueAt;
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

  it('find a due time whose message was lost by the sweep', async () => {
    const app = await startPushed(database.url, [Report]);
    await app.client.schedules.create('lost', { workflow: Report, every: '1d' });
    await database.query(`UPDATE durable.workflow_schedules SET due_at = now(), fire_at = now() WHERE name = 'lost'`);
    await app.sweep();
    expect((await withRuns(app, 'lost')).runs).toHaveLength(1);
  });
});
