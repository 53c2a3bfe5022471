import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';

import {
  ClientInRunError,
  ClosedError,
  currentStep,
  SharedStateError,
  Step,
  Workflow,
  WorkflowClient,
  WorkflowFailedError,
  type WorkflowContext,
} from '../../../src/index.js';
import { closeApplications, startApplication } from '../../support/application.js';
import { createTestDatabase, type TestDatabase } from '../../support/database.js';
import { waitFor } from '../../support/wait.js';

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

@Workflow({ name: 'sharing' })
class SharingWorkflow {
  private n = 0;
  private connection: { of: string } | undefined;

  async run(how: 'innocent' | 'changes' | 'adds' | 'caches', ctx: WorkflowContext): Promise<string> {
    if (how === 'changes') this.n++;
    else if (how === 'adds') (this as unknown as Record<string, unknown>)['late'] = ctx.runId;
    else if (how === 'caches') return this.connect(ctx.runId);
    else await ctx.step('wait', () => new Promise<void>((resolve) => (release = resolve)));
    return how;
  }

  @Step()
  async connect(runId: string): Promise<string> {
    this.connection ??= { of: runId };
    return 'connected';
  }
}

let release: (() => void) | undefined;

async function causeOf(failing: Promise<unknown>): Promise<unknown> {
  try {
    await failing;
  } catch (error) {
    return (error as Error).cause;
  }
  return undefined;
}

describe('guards against mistakes that break a replay', () => {
  let database: TestDatabase;
  beforeAll(async () => {
    database = await createTestDatabase();
  });
  afterEach(closeApplications);
  afterAll(() => database.drop());

  it('a start by run() outside a step is refused', async () => {
    const { client } = await startApplication(database.url, [ParentWorkflow, ChildWorkflow]);
    const failed = client.execute(ParentWorkflow, 'directly');
    await expect(failed).rejects.toBeInstanceOf(WorkflowFailedError);
    expect(await causeOf(failed)).toBeInstanceOf(ClientInRunError);
    await expect(database.query(`SELECT id FROM durable.workflow_runs WHERE name = 'child'`)).resolves.toEqual([]);
    await expect(client.execute(ParentWorkflow, 'in a step')).resolves.toBe(2);
  });

  it('a run that changes fields of its workflow fails', async () => {
    const { client } = await startApplication(database.url, [CountingWorkflow]);
    const cause = await causeOf(client.execute(CountingWorkflow));
    expect(cause).toBeInstanceOf(SharedStateError);
    expect((cause as Error).message).toContain('this.count');
  });

  it('a run completes although another run changes fields of the workflow meanwhile', async () => {
    const { client } = await startApplication(database.url, [SharingWorkflow]);
    release = undefined;
    const innocent = await client.start(SharingWorkflow, 'innocent');
    await waitFor(() => release !== undefined);
    const cause = await causeOf(client.execute(SharingWorkflow, 'changes'));
    expect(cause).toBeInstanceOf(SharedStateError);
    expect((cause as Error).message).toContain('this.n');
    release!();
    await expect(innocent.result()).resolves.toBe('innocent');
  });

  it('the body of a step may change fields of the workflow', async () => {
    const { client } = await startApplication(database.url, [SharingWorkflow]);
    await expect(client.execute(SharingWorkflow, 'caches')).resolves.toBe('connected');
    await expect(client.execute(SharingWorkflow, 'caches')).resolves.toBe('connected');
  });

  it('a run that changes a field which an earlier run added fails', async () => {
    const { client } = await startApplication(database.url, [SharingWorkflow]);
    await client.execute(SharingWorkflow, 'adds');
    expect(await causeOf(client.execute(SharingWorkflow, 'adds'))).toBeInstanceOf(SharedStateError);
  });

  it('the client of a closed application rejects every call with ClosedError', async () => {
    const application = await startApplication(database.url, [ChildWorkflow]);
    await application.close();
    const { client } = application;
    const asks = [
      () => client.start(ChildWorkflow, 1),
      () => client.status('x'),
      () => client.describe('x'),
      () => client.steps('x'),
      () => client.cancel('x'),
      () => client.getHandle('x').result(),
    ];
    for (const ask of asks) {
      await expect(ask()).rejects.toBeInstanceOf(ClosedError);
    }
  });
});
