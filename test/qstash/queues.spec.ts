import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';

import { Workflow, type WorkflowContext } from '../../src/index.js';
import { closeApplications } from '../support/application.js';
import { createTestDatabase, type TestDatabase } from '../support/database.js';
import { startPushed, type PushedApplication } from '../support/pushed-application.js';
import { waitFor } from '../support/wait.js';

let isHeld = true;
let executing = 0;

async function held(): Promise<void> {
  executing++;
  await waitFor(() => !isHeld);
  executing--;
}

@Workflow({ name: 'single', queue: 'singles' })
class SingleWorkflow {
  async run(_input: void, ctx: WorkflowContext): Promise<void> {
    await ctx.step('work', held);
  }
}

@Workflow({ name: 'napping', queue: 'singles' })
class NappingWorkflow {
  async run(_input: void, ctx: WorkflowContext): Promise<void> {
    await ctx.sleep('2h');
    await ctx.step('work', held);
  }
}

describe('QStash with a queue of one place', () => {
  let database: TestDatabase;
  let app: PushedApplication;
  beforeAll(async () => {
    database = await createTestDatabase();
    app = await startPushed(database.url, [SingleWorkflow, NappingWorkflow], {
      options: { queues: { singles: { concurrency: 1 } }, worker: { suspendAfter: 20 } },
    });
  });
  afterEach(() => {
    isHeld = false;
  });
  afterAll(async () => {
    isHeld = false;
    await closeApplications();
    await database.drop();
  });

  /** Number of messages for a run. */
  const messagesFor = (runId: string): number => app.qstash.messages.filter(({ body }) => String(body).includes(runId)).length;

  /** Ends the sleep of a run, as if a minute had passed since. */
  async function endSleep(runId: string): Promise<void> {
    for (const [table, id] of [
      ['waits', 'run_id'],
      ['runs', 'id'],
    ] as const)
      await database.query(`UPDATE durable.workflow_${table} SET wake_at = now() - interval '1 minute' WHERE ${id} = $1`, [runId]);
  }

  it('gets the message for a run when the queue admits the run, and not before', async () => {
    isHeld = true;
    const handles = [
      await app.client.start(SingleWorkflow),
      await app.client.start(SingleWorkflow),
      await app.client.start(SingleWorkflow),
    ];
    await waitFor(() => executing === 1);
    await app.sweep();
    expect(handles.map(({ runId }) => messagesFor(runId)).sort((a, b) => a - b)).toEqual([0, 0, 1]);
    isHeld = false;
    await Promise.all(handles.map((handle) => handle.result()));
    expect(handles.every(({ runId }) => messagesFor(runId) > 0)).toBe(true);
  });

  it('gets no message for a run that the sweep wakes while the place is taken', async () => {
    const napping = await app.client.start(NappingWorkflow);
    await waitFor(async () => (await napping.describe()).waitingFor[0]?.kind === 'sleep' && (await napping.status()) === 'waiting');
    await app.qstash.settled();
    isHeld = true;
    const holder = await app.client.start(SingleWorkflow);
    await waitFor(() => executing === 1);
    const before = messagesFor(napping.runId);
    await endSleep(napping.runId);
    await app.sweep();
    await waitFor(async () => (await napping.describe()).waitingFor[0]?.kind === 'place');
    await app.sweep();
    expect(messagesFor(napping.runId)).toBe(before);
    isHeld = false;
    await Promise.all([holder.result(), napping.result()]);
    expect(messagesFor(napping.runId)).toBeGreaterThan(before);
  });

  it('gets the message for a run that the sweep wakes when a place is free', async () => {
    const napping = await app.client.start(NappingWorkflow);
    await waitFor(async () => (await napping.describe()).waitingFor[0]?.kind === 'sleep' && (await napping.status()) === 'waiting');
    await endSleep(napping.runId);
    await app.sweep();
    // The one sweep admits the run and announces it.
    await napping.result();
  });
});
