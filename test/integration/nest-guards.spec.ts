import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';

import {
  ClientInRunError,
  ClosedError,
  currentStep,
  SharedStateError,
  Workflow,
  WorkflowClient,
  WorkflowFailedError,
  type WorkflowContext,
} from '../../src/index.js';
import { closeApplications, startApplication } from '../support/application.js';
import { createTestDatabase, type TestDatabase } from '../support/database.js';

@Workflow({ name: 'child' })
class ChildWorkflow {
  async run(n: number): Promise<number> {
    return n * 2;
  }
}

@Workflow({ name: 'parent' })
class ParentWorkflow {
  constructor(private readonly client: WorkflowClient) {}

  async run(how: 'directly' | 'in a step', ctx: WorkflowContext): Promise<unknown> {
    if (how === 'directly') return (await this.client.start(ChildWorkflow, 1)).runId;
    return ctx.step('child', () => this.client.execute(ChildWorkflow, 1, { id: currentStep().idempotencyKey }));
  }
}

@Workflow({ name: 'counting' })
class CountingWorkflow {
  private count = 0;

  async run(_: void, ctx: WorkflowContext): Promise<number> {
    this.count++;
    await ctx.step('one', () => 1);
    return this.count;
  }
}

async function causeOf(failing: Promise<unknown>): Promise<unknown> {
  try {
    await failing;
  } catch (error) {
    return (error as Error).cause;
  }
  return undefined;
}

describe('what would go wrong at the first replay', () => {
  let database: TestDatabase;
  beforeAll(async () => {
    database = await createTestDatabase();
  });
  afterEach(closeApplications);
  afterAll(() => database.drop());

  it('is refused: a start by run() outside a step', async () => {
    const { client } = await startApplication(database.url, [ParentWorkflow, ChildWorkflow]);
    const failed = client.execute(ParentWorkflow, 'directly');
    await expect(failed).rejects.toBeInstanceOf(WorkflowFailedError);
    expect(await causeOf(failed)).toBeInstanceOf(ClientInRunError);
    await expect(database.query(`SELECT id FROM durable.workflow_runs WHERE name = 'child'`)).resolves.toEqual([]);
    await expect(client.execute(ParentWorkflow, 'in a step')).resolves.toBe(2);
  });

  it('is an error in development: a run that changes fields of its workflow', async () => {
    const { client } = await startApplication(database.url, [CountingWorkflow]);
    const cause = await causeOf(client.execute(CountingWorkflow));
    expect(cause).toBeInstanceOf(SharedStateError);
    expect((cause as Error).message).toContain('this.count');
  });

  it('a client of a closed application says so, whatever it is asked', async () => {
    const application = await startApplication(database.url, [ChildWorkflow]);
    await application.close();
    const { client } = application;
    const asks = [
      () => client.start(ChildWorkflow, 1),
      () => client.status('x'),
      () => client.describe('x'),
      () => client.steps('x'),
      () => client.cancel('x'),
      () => client.get('x').result(),
    ];
    for (const ask of asks) {
      await expect(ask()).rejects.toBeInstanceOf(ClosedError);
    }
  });
});
