import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';

import { defineEvent, Workflow, type EventOf, type WorkflowContext } from '../../../src/index.js';
import { closeApplications, startApplication, type TestApplication } from '../../support/application.js';
import { createTestDatabase, type TestDatabase } from '../../support/database.js';
import { parseExposition } from '../../support/prometheus.js';
import { waitFor } from '../../support/wait.js';

const happened = defineEvent<{ n: number }>('happened');

@Workflow({ name: 'report' })
class Report {
  async run(): Promise<void> {
    await Promise.resolve();
  }
}

@Workflow({ name: 'receiver', on: happened })
class Receiver {
  async run(_event: EventOf<typeof happened>, ctx: WorkflowContext): Promise<number> {
    return (await ctx.waitForEvent(happened)).n;
  }
}

describe('metrics and health of schedules and events', () => {
  let app: TestApplication;
  let database: TestDatabase;
  beforeAll(async () => {
    database = await createTestDatabase();
    app = await startApplication(database.url, [Report, Receiver]);
  });
  afterAll(async () => {
    await closeApplications();
    await database.drop();
  });

  /** Values of a metric by the values of its labels. */
  const values = async (name: string): Promise<Record<string, number>> => {
    const family = parseExposition(await app.client.metrics()).get(`nestjs_durable_${name}`);
    return Object.fromEntries((family?.samples ?? []).map(({ labels, value }) => [Object.values(labels).join(' '), value]));
  };

  it('count due times, their delay, and the due times of an outage', async () => {
    const due = new Date(Math.floor(Date.now()) - 7_200_000);
    await app.client.schedules.create('daily', { workflow: Report, every: '1d' });
    await database.query('UPDATE durable.workflow_schedules SET due_at = $1, fire_at = $1, anchor_at = $1', [due]);
    // A change by a client announces the schedule; a statement of a test does not.
    await app.client.schedules.update('daily', { tags: {} });
    await waitFor(async () => (await values('schedule_due_times_total'))['report started'] === 1);
    expect(await values('schedule_due_times_total')).toEqual({ 'report started': 1, 'report missed': 1 });
    const delays = parseExposition(await app.client.metrics()).get('nestjs_durable_schedule_delay_seconds')!;
    const sum = delays.samples.find(({ name }) => name.endsWith('_sum'))!;
    expect(sum.value).toBeGreaterThanOrEqual(7_200);
    await app.client.schedules.delete('daily');
  });

  it('show schedules that no process executes', async () => {
    const past = new Date(Date.now() - 600_000);
    await app.client.schedules.create('nobody', { workflow: 'nobody has it', every: '1d' });
    await database.query('UPDATE durable.workflow_schedules SET fire_at = $1, failures = 2', [past]);
    await waitFor(async () => (await values('schedule_overdue'))['nobody has it'] === 1);
    expect(await values('schedule_failing')).toEqual({ 'nobody has it': 1 });
    expect((await values('schedule_overdue_age_seconds'))['nobody has it']).toBeGreaterThanOrEqual(600);
    expect((await app.client.health()).schedules).toEqual({ overdue: 1, overdueSince: past, failing: 1 });
    await app.client.schedules.delete('nobody');
    expect((await app.client.health()).schedules).toEqual({ overdue: 0, overdueSince: undefined, failing: 0 });
  });

  it('count events, and the waits that they end', async () => {
    await app.client.emit(happened, { n: 1 }, { id: 'a' });
    const run = app.client.getHandle('receiver:happened:a');
    // The event that starts the run happened before the run, so only the second one ends its wait.
    await waitFor(async () => (await values('events_dispatched_total')).happened === 1);
    await app.client.emit(happened, { n: 2 }, { id: 'b' });
    expect(await run.result()).toBe(2);
    await waitFor(async () => (await values('events_dispatched_total')).happened === 2);
    expect(await values('events_resumed_total')).toEqual({ '': 1 });
  });
});
