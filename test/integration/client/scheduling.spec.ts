import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';

import { Workflow, workflowRef } from '../../../src/index.js';
import { closeApplications, startApplication } from '../../support/application.js';
import { createTestDatabase, type TestDatabase } from '../../support/database.js';
import { seconds, waitFor } from '../../support/wait.js';

let order: string[] = [];

@Workflow({ name: 'note' })
class NoteWorkflow {
  async run(what: string): Promise<string> {
    order.push(what);
    return what;
  }
}

@Workflow({ name: 'mail', queue: 'mails' })
class MailWorkflow {
  async run(what: string): Promise<string> {
    order.push(what);
    return what;
  }
}

@Workflow({ name: 'report', version: 1 })
class ReportV1 {
  async run(): Promise<string> {
    return 'v1';
  }
}

@Workflow({ name: 'report', version: 3 })
class ReportV3 {
  async run(): Promise<string> {
    return 'v3';
  }
}

describe('scheduling', () => {
  let database: TestDatabase;
  beforeAll(async () => {
    database = await createTestDatabase();
  });
  afterEach(closeApplications);
  afterAll(() => database.drop());

  const workflows = [NoteWorkflow, MailWorkflow, ReportV1, ReportV3];
  const boot = async (worker: object | false = {}) => (await startApplication(database.url, workflows, { worker })).client;

  it('a delayed run does not start before its delay has passed', async () => {
    const client = await boot();
    const far = await client.start(NoteWorkflow, 'far', { delay: '1h' });
    const before = await far.describe();
    expect(before).toMatchObject({ status: 'waiting', startedAt: undefined });
    expect(before.wakeAt!.getTime() - before.createdAt.getTime()).toBe(3_600_000);
    const near = await client.start(NoteWorkflow, 'near', { delay: '250ms' });
    await expect(near.result()).resolves.toBe('near');
    const { createdAt, startedAt } = await near.describe();
    expect(startedAt!.getTime() - createdAt.getTime()).toBeGreaterThanOrEqual(250);
  });

  it('a run with a start time does not start earlier, and starts immediately when that time has passed', async () => {
    const client = await boot();
    const tomorrow = new Date(Date.now() + 86_400_000);
    const far = await client.start(NoteWorkflow, 'far', { startAt: tomorrow });
    await expect(far.describe()).resolves.toMatchObject({ status: 'waiting', wakeAt: tomorrow });
    const startAt = new Date(Date.now() + 250);
    const near = await client.start(NoteWorkflow, 'near', { startAt });
    await near.result();
    expect((await near.describe()).startedAt!.getTime()).toBeGreaterThanOrEqual(startAt.getTime());
    await expect(client.execute(NoteWorkflow, 'past', { startAt: new Date(0) })).resolves.toBe('past');
    await expect(client.execute(NoteWorkflow, 'now', { delay: 0 })).resolves.toBe('now');
  });

  it('a delayed run that became due without a worker starts when a worker boots', async () => {
    const starter = await boot(false);
    const { runId } = await starter.start(NoteWorkflow, 'patient', { delay: 50 });
    await closeApplications();
    // A worker polls when it boots, however long its interval.
    const client = await boot({ pollInterval: '30s', maxPollInterval: '30s' });
    await expect(client.getHandle(NoteWorkflow, runId).result({ timeout: seconds(5) })).resolves.toBe('patient');
  });

  it('runs with a higher priority start first, and the oldest first among equal priorities', async () => {
    const starter = await boot(false);
    const priorities = [0, 5, -32_768, 32_767, 5, 0];
    for (const [index, priority] of priorities.entries()) await starter.start(NoteWorkflow, `${priority}/${index}`, { priority });
    order = [];
    await boot({ concurrency: 1 });
    await waitFor(() => order.length === priorities.length);
    expect(order).toEqual(['32767/3', '5/1', '5/4', '0/0', '0/5', '-32768/2']);
  });

  it('a queue is served by workers that name it, and otherwise by every worker with a workflow of that queue', async () => {
    const client = await boot({ queues: ['letters'] });
    const inDefault = await client.start(NoteWorkflow, 'a');
    const inMails = await client.start(MailWorkflow, 'b');
    await expect(client.execute(NoteWorkflow, 'c', { queue: 'letters' })).resolves.toBe('c');
    await expect(inDefault.describe()).resolves.toMatchObject({ status: 'pending', queue: 'default' });
    await expect(inMails.describe()).resolves.toMatchObject({ status: 'pending', queue: 'mails' });
    await closeApplications();
    const other = await boot();
    await expect(other.getHandle(inDefault.runId).result()).resolves.toBe('a');
    await expect(other.getHandle(inMails.runId).result()).resolves.toBe('b');
  });

  it('tags are stored as one row per tag', async () => {
    const client = await boot();
    const { runId } = await client.start(NoteWorkflow, 'tagged', { tags: { customer: '7', plan: 'it\'s "gold"' } });
    await client.start(NoteWorkflow, 'other', { tags: { customer: '8' } });
    expect(await database.query(`SELECT key, value FROM durable.workflow_tags WHERE run_id = $1 ORDER BY key`, [runId])).toEqual([
      { key: 'customer', value: '7' },
      { key: 'plan', value: 'it\'s "gold"' },
    ]);
    expect(await database.query(`SELECT run_id FROM durable.workflow_tags WHERE key = 'customer' AND value = '7'`)).toEqual([
      { run_id: runId },
    ]);
  });

  it('a run started by name or by a reference gets the highest version that the worker registers', async () => {
    const client = await boot();
    for (const target of ['report', workflowRef<void, string>('report')] as const) {
      const handle = await client.start(target as string);
      await expect(handle.result()).resolves.toBe('v3');
      await expect(handle.describe()).resolves.toMatchObject({ name: 'report', version: 3 });
    }
    await expect(client.execute(ReportV1)).resolves.toBe('v1');
  });

  it('a run of a workflow or version that no worker registers stays pending', async () => {
    const client = await boot();
    const unknown = await client.start('never heard of', 1);
    await expect(client.execute(NoteWorkflow, 'x')).resolves.toBe('x');
    await expect(unknown.describe()).resolves.toMatchObject({ status: 'pending', version: 0, epoch: 0 });
  });
});
