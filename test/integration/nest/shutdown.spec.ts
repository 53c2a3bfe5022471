import { Global, Injectable, Module, type DynamicModule, type OnModuleDestroy } from '@nestjs/common';
import { Test } from '@nestjs/testing';
import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';

import { NonRetryableError, Workflow, WorkflowClient, WorkflowModule, type WorkflowContext } from '../../../src/index.js';
import { bootApplication, closeApplications, closeLater } from '../../support/application.js';
import { createTestDatabase, type TestDatabase } from '../../support/database.js';
import { seconds, waitFor } from '../../support/wait.js';
import { withoutStalls } from '../../support/log-lines.js';

/** A gate that a body waits at, opened or broken by the test. */
let gate: { open(): void; fail(error: Error): void } | undefined;
let events: string[] = [];

/** Stands for a pool of connections. */
@Injectable()
class Resource implements OnModuleDestroy {
  private isClosed = false;

  use(): string {
    events.push(this.isClosed ? 'used after its end' : 'used');
    if (this.isClosed) throw new Error('the resource is closed');
    return 'fine';
  }

  onModuleDestroy(): void {
    this.isClosed = true;
    events.push('destroyed');
  }
}

@Workflow({ name: 'using' })
class UsingWorkflow {
  constructor(private readonly resource: Resource) {}

  async run(_input: void, ctx: WorkflowContext): Promise<string> {
    const used = await ctx.step('use', { retry: { maxAttempts: 1 } }, async () => {
      await new Promise<void>((resolve, reject) => (gate = { open: resolve, fail: reject }));
      return this.resource.use();
    });
    return ctx.step('after', () => `${used}, then over`);
  }
}

/** Waits for several rounds of the event loop, in which pending code can continue. */
async function severalRounds(): Promise<void> {
  for (let round = 0; round < 20; round++) await new Promise(setImmediate);
}

const using = (inject: unknown) => ({
  provide: UsingWorkflow,
  inject: [inject as never],
  useFactory: (resource: Resource) => new UsingWorkflow(resource),
});

@Module({ providers: [Resource], exports: [Resource] })
class ResourceModule {}

@Global()
@Module({ providers: [Resource], exports: [Resource] })
class GlobalResourceModule {}

@Module({ imports: [ResourceModule], providers: [using(Resource)] })
class FeatureModule {}

describe('the shutdown of an application', () => {
  let database: TestDatabase;
  beforeAll(async () => {
    database = await createTestDatabase();
  });
  afterEach(async () => {
    gate?.open();
    await closeApplications();
    await database.query('TRUNCATE durable.workflow_runs, durable.workflow_steps, durable.workflow_run_log');
    gate = undefined;
    events = [];
  });
  afterAll(() => database.drop());

  const workflowModule = (isGlobal = true): DynamicModule =>
    WorkflowModule.forRoot({ connection: { url: database.url }, worker: {}, isGlobal });
  const runs = () => database.query('SELECT id, status, session_id FROM durable.workflow_runs ORDER BY id');
  const attempts = () => database.query(`SELECT step_key FROM durable.workflow_run_log WHERE kind = 'attempt_failed'`);

  const shapes: Record<string, () => NonNullable<Parameters<typeof Test.createTestingModule>[0]>> = {
    'the root module': () => ({ imports: [workflowModule()], providers: [Resource, using(Resource)] }),
    'a module imported before WorkflowModule': () => ({ imports: [FeatureModule, workflowModule()] }),
    'a module imported after WorkflowModule': () => ({ imports: [workflowModule(), FeatureModule] }),
    'a global module': () => ({ imports: [GlobalResourceModule, workflowModule()], providers: [using(Resource)] }),
    'the root module beside a WorkflowModule that is not global': () => ({
      imports: [FeatureModule, workflowModule(false)],
    }),
  };

  it.each(Object.keys(shapes))('lets bodies finish before a provider of %s is destroyed', async (shape) => {
    const module = await bootApplication(shapes[shape]!());
    const client = module.get(WorkflowClient);
    const { runId } = await client.start(UsingWorkflow);
    await waitFor(() => gate);
    const closing = module.close();
    // A provider could be destroyed in these rounds of the event loop.
    await severalRounds();
    gate!.open();
    await closing;
    expect(events).toEqual(['used', 'destroyed']);
    expect(await runs()).toEqual([{ id: runId, status: 'pending', session_id: null }]);
    const steps = await database.query('SELECT step_key, output FROM durable.workflow_steps');
    expect(steps).toEqual([{ step_key: 'use', output: 'fine' }]);
  });

  it('claims nothing while shutdown hooks of other providers are pending', async () => {
    let release: (() => void) | undefined;
    const released = new Promise<void>((resolve) => (release = resolve));
    let isReached = false;
    const onModuleDestroy = (): Promise<void> => {
      isReached = true;
      return released;
    };
    const slow = { provide: 'slow', useValue: { onModuleDestroy } };
    const module = await bootApplication({ imports: [workflowModule()], providers: [Resource, using(Resource), slow] });
    const client = module.get(WorkflowClient);
    const closing = module.close();
    await waitFor(() => isReached);
    const ids = await Promise.all(Array.from({ length: 5 }, async () => (await client.start(UsingWorkflow)).runId));
    expect(await runs()).toEqual(ids.toSorted().map((id) => ({ id, status: 'pending', session_id: null })));
    release!();
    await closing;
    expect(gate).toBeUndefined();
    expect(await runs()).toHaveLength(5);
  });

  it('does not count an attempt that fails while the application closes', async () => {
    const module = await bootApplication({ imports: [workflowModule(), FeatureModule] });
    const { runId } = await module.get(WorkflowClient).start(UsingWorkflow);
    await waitFor(() => gate);
    const closing = module.close();
    await severalRounds();
    gate!.fail(new Error('the connection was closed by a signal handler'));
    await closing;
    expect(await runs()).toEqual([{ id: runId, status: 'pending', session_id: null }]);
    expect(await attempts()).toEqual([]);
    gate = undefined;
    const next = await bootApplication({ imports: [workflowModule(), FeatureModule] });
    await waitFor(() => gate);
    gate!.open();
    const handle = next.get(WorkflowClient).getHandle(UsingWorkflow, runId);
    await expect(handle.result({ timeout: seconds(5) })).resolves.toBe('fine, then over');
  });

  it('records a step that fails with a NonRetryableError while the application closes', async () => {
    const module = await bootApplication({ imports: [workflowModule(), FeatureModule] });
    const { runId } = await module.get(WorkflowClient).start(UsingWorkflow);
    await waitFor(() => gate);
    const closing = module.close();
    await severalRounds();
    gate!.fail(new NonRetryableError('the card was declined'));
    await closing;
    const steps = await database.query('SELECT run_id, status FROM durable.workflow_steps');
    expect(steps).toEqual([{ run_id: runId, status: 'failed' }]);
  });

  it('waits for bodies when it begins twice, as Nest 11 begins it for app.close() beside a signal', async () => {
    const logged: unknown[] = [];
    const note = (message: unknown): void => void logged.push(message);
    const builder = Test.createTestingModule({ imports: [workflowModule(), FeatureModule] });
    const module = closeLater(await builder.setLogger({ log: () => undefined, warn: note, error: note }).compile());
    await module.init();
    const { runId } = await module.get(WorkflowClient).start(UsingWorkflow);
    await waitFor(() => gate);
    const hooks = module.get(WorkflowModule);
    const shutDown = async (): Promise<void> => {
      await hooks.onModuleDestroy();
      await hooks.beforeApplicationShutdown();
      await hooks.onApplicationShutdown();
    };
    let ended = 0;
    const both = [shutDown(), shutDown()].map((shutdown) => shutdown.then(() => ended++));
    await severalRounds();
    expect(ended).toBe(0);
    gate!.open();
    await Promise.all(both);
    expect(await runs()).toEqual([{ id: runId, status: 'pending', session_id: null }]);
    expect(await database.query('SELECT output FROM durable.workflow_steps')).toEqual([{ output: 'fine' }]);
    expect(await database.query('SELECT 1 FROM durable.workflow_sessions')).toEqual([]);
    expect(withoutStalls(logged)).toEqual([]);
  });
});
