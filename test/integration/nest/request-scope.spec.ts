import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

import { Inject, Injectable, Scope } from '@nestjs/common';
import { REQUEST } from '@nestjs/core';
import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';

import { Step, Workflow, WorkflowCancelledError, type WorkflowContext, type WorkflowRequest } from '../../../src/index.js';
import { closeApplications, startApplication } from '../../support/application.js';
import { createTestDatabase, type TestDatabase } from '../../support/database.js';
import { seconds, waitFor } from '../../support/wait.js';

let made: { type: string; runId: string }[] = [];
let breaks: (request: WorkflowRequest) => boolean = () => false;
let pause: () => Promise<void> = async () => undefined;
let gone = 0;
const registry = new FinalizationRegistry(() => gone++);

@Injectable({ scope: Scope.REQUEST })
class Tenant {
  constructor(@Inject(REQUEST) readonly request: WorkflowRequest) {
    made.push({ type: 'Tenant', runId: request.runId });
    if (breaks(request)) throw new Error('the tenant’s database is away');
  }

  @Step()
  async greet(): Promise<string> {
    return `hello ${String((this.request.input as { tenant: string }).tenant)}`;
  }
}

@Workflow({ name: 'per-request', scope: Scope.REQUEST })
class PerRequestWorkflow {
  private count = 0;

  constructor(@Inject(REQUEST) private readonly request: WorkflowRequest) {
    made.push({ type: 'PerRequestWorkflow', runId: request.runId });
    registry.register(this, undefined);
  }

  async run(_input: { tenant: string }, ctx: WorkflowContext): Promise<unknown> {
    this.count++;
    const own = await this.own();
    await ctx.sleep(seconds(1));
    this.count++;
    return { own, count: this.count, request: this.request };
  }

  @Step()
  async own(): Promise<number> {
    return this.count;
  }
}

@Workflow({ name: 'of-tenant' })
class TenantWorkflow {
  constructor(
    readonly tenant: Tenant,
    @Inject('SLOW') readonly slow: string,
  ) {}

  async run(_input: { tenant: string }, ctx: WorkflowContext): Promise<string> {
    const greeting = await this.tenant.greet();
    await ctx.sleep(200);
    return `${greeting}${this.slow}`;
  }
}

@Injectable({ scope: Scope.REQUEST, durable: true })
class DurableTenant {
  constructor(@Inject(REQUEST) readonly request: WorkflowRequest) {}
}

@Workflow({ name: 'of-durable' })
class DurableTenantWorkflow {
  constructor(readonly tenant: DurableTenant) {}

  async run(): Promise<string> {
    return this.tenant.request.runId;
  }
}

@Workflow({ name: 'quick', scope: Scope.REQUEST })
class QuickWorkflow {
  readonly ballast = Buffer.alloc(64);

  constructor(readonly tenant: Tenant) {
    registry.register(this, undefined);
  }

  async run(): Promise<string> {
    return this.tenant.greet();
  }
}

class Made {
  async run(): Promise<string> {
    return 'made by a factory';
  }
}
Workflow({ name: 'made' })(Made);

const providers = [
  PerRequestWorkflow,
  TenantWorkflow,
  DurableTenantWorkflow,
  DurableTenant,
  QuickWorkflow,
  Tenant,
  { provide: 'SLOW', scope: Scope.REQUEST, useFactory: async () => (await pause(), '!') },
  { provide: Made, scope: Scope.REQUEST, useFactory: () => new Made() },
];

describe('a request-scoped workflow', () => {
  let database: TestDatabase;
  beforeAll(async () => {
    database = await createTestDatabase();
  });
  afterEach(async () => {
    made = [];
    breaks = () => false;
    pause = async () => undefined;
    await closeApplications();
    await database.query('DELETE FROM durable.workflow_runs');
  });
  afterAll(() => database.drop());

  const makings = (type: string): number => made.filter((one) => one.type === type).length;

  it('has an instance and a request of its own in each pass, and may change its fields', async () => {
    const { client } = await startApplication(database.url, providers, { worker: { suspendAfter: 0 } });
    const handle = await client.start(PerRequestWorkflow, { tenant: 'acme' });
    await expect(handle.result()).resolves.toEqual({
      own: 1,
      count: 2,
      request: { runId: handle.runId, workflow: 'per-request', version: 1, input: { tenant: 'acme' } },
    });
    // The run suspends during the sleep, and the next pass creates another instance.
    expect(makings('PerRequestWorkflow')).toBe(2);
    expect((await client.steps(handle.runId)).map(({ stepKey }) => stepKey)).toEqual(['own', 'sleep']);
  });

  it('gets request-scoped dependencies of its own in each run, and their steps keep their names', async () => {
    // The wait of a factory must not count as I/O of the run, because a replay may be quicker.
    pause = () => new Promise((resolve) => setTimeout(resolve, makings('Tenant') > 2 ? 0 : 30));
    const { client } = await startApplication(database.url, providers, { worker: { suspendAfter: 0 } });
    const handles = [await client.start(TenantWorkflow, { tenant: 'a' }), await client.start(TenantWorkflow, { tenant: 'b' })];
    expect(await Promise.all(handles.map((handle) => handle.result()))).toEqual(['hello a!', 'hello b!']);
    expect((await client.steps(handles[0]!.runId)).map(({ stepKey }) => stepKey)).toEqual(['Tenant.greet', 'sleep']);
    const rows = await database.query('SELECT called_after_io FROM durable.workflow_steps');
    expect(new Set(rows.map(({ called_after_io }) => called_after_io))).toEqual(new Set([false]));
  });

  it('works with durable providers and with a factory', async () => {
    const { client } = await startApplication(database.url, providers);
    const handles = [await client.start(DurableTenantWorkflow), await client.start(DurableTenantWorkflow)];
    expect(await Promise.all(handles.map((handle) => handle.result()))).toEqual(handles.map(({ runId }) => runId));
    await expect(client.execute(Made as never)).resolves.toBe('made by a factory');
  });

  it('waits while its creation fails, and completes once its creation succeeds', async () => {
    breaks = () => makings('Tenant') <= 2;
    const { client } = await startApplication(database.url, providers, { worker: { suspendAfter: 100 } });
    const handle = await client.start(TenantWorkflow, { tenant: 'late' });
    await waitFor(() => makings('Tenant') === 1);
    await waitFor(async () => (await handle.status()) === 'waiting');
    await expect(handle.result({ timeout: seconds(45) })).resolves.toBe('hello late!');
    expect(makings('Tenant')).toBeGreaterThan(2);
  });

  it('can be cancelled while its creation fails, and leaves its worker free meanwhile', async () => {
    breaks = ({ input }) => (input as { tenant: string }).tenant === 'broken';
    const { client } = await startApplication(database.url, providers, { worker: { concurrency: 1, suspendAfter: '1m' } });
    const handle = await client.start(TenantWorkflow, { tenant: 'broken' });
    await waitFor(() => makings('Tenant') > 0);
    await expect(client.execute(TenantWorkflow, { tenant: 'fine' })).resolves.toBe('hello fine!');
    await handle.cancel();
    await expect(handle.result({ timeout: seconds(30) })).rejects.toBeInstanceOf(WorkflowCancelledError);
    expect(await database.query('SELECT run_id FROM durable.workflow_inbox')).toEqual([]);
  });

  it('can be cancelled after it was suspended because its creation failed', async () => {
    breaks = () => true;
    const { client } = await startApplication(database.url, providers, { worker: { suspendAfter: 0 } });
    const handle = await client.start(TenantWorkflow, { tenant: 'broken' });
    await waitFor(async () => (await handle.status()) === 'waiting');
    await handle.cancel();
    await expect(handle.result({ timeout: seconds(30) })).rejects.toBeInstanceOf(WorkflowCancelledError);
  });

  it('is garbage-collected after its pass', async () => {
    const collect = (globalThis as { gc?: () => void }).gc ?? exposedGc();
    const { client } = await startApplication(database.url, providers);
    gone = 0;
    const runs = 1_000;
    const inputs = Array.from({ length: runs }, () => ({ tenant: 'x' }));
    const handles = await client.startMany('quick', inputs);
    await Promise.all(handles.map((handle) => handle.result()));
    await waitFor(
      () => {
        collect();
        return gone >= runs - 5;
      },
      { message: () => `instances to be collected: ${gone} of ${runs} were` },
    );
  });
});

function exposedGc(): () => void {
  setFlagsFromString('--expose-gc');
  return runInNewContext('gc') as () => void;
}
