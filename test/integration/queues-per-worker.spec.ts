import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';

import { Workflow, type WorkflowClient, type WorkflowContext } from '../../src/index.js';
import { closeApplications, startApplication } from '../support/application.js';
import { createTestDatabase, type TestDatabase } from '../support/database.js';
import { waitFor } from '../support/wait.js';

const active = new Set<string>();
let most = 0;
let isHeld = true;

@Workflow({ name: 'held', queue: 'few' })
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

@Workflow({ name: 'other' })
class OtherWorkflow {
  async run(_input: void, ctx: WorkflowContext): Promise<string> {
    return ctx.step('body', () => 'done');
  }
}

describe('the limit of a queue for each worker', () => {
  let client: WorkflowClient;
  let database: TestDatabase;
  beforeAll(async () => {
    database = await createTestDatabase();
    ({ client } = await startApplication(database.url, [HeldWorkflow, OtherWorkflow], { queues: { few: { perWorker: 2 } }, worker: {} }));
  });
  afterAll(async () => {
    isHeld = false;
    await closeApplications();
    await database.drop();
  });

  it('holds in one process, leaves other queues alone, and is used again after each end', async () => {
    const handles = await client.startMany(HeldWorkflow, Array.from({ length: 7 }));
    await waitFor(() => active.size === 2);
    expect(await client.execute(OtherWorkflow)).toBe('done');
    isHeld = false;
    await Promise.all(handles.map((handle) => handle.result()));
    expect(most).toBe(2);
  });
});
