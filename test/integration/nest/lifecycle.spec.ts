import { Controller, Get, Module, type INestApplicationContext } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import type { NestExpressApplication } from '@nestjs/platform-express';
import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';

import { Workflow, WorkflowClient, WorkflowModule, type WorkflowContext, type WorkflowModuleOptions } from '../../../src/index.js';
import { closeApplications, closeLater, startApplication } from '../../support/application.js';
import { createTestDatabase, type TestDatabase } from '../../support/database.js';
import { poolerOptions, reach } from '../../support/pooler.js';
import { PATIENCE, seconds, waitFor } from '../../support/wait.js';

let finish: (() => void) | undefined;
let address = '';

@Workflow({ name: 'callback' })
class CallbackWorkflow {
  /** Calls the application that executes the workflow. */
  async run(_input: void, ctx: WorkflowContext): Promise<string> {
    return ctx.step('call', { retry: { maxAttempts: 1 } }, async () => (await fetch(address)).text());
  }
}

@Workflow({ name: 'slow' })
class SlowWorkflow {
  async run(_input: void, ctx: WorkflowContext): Promise<string> {
    const first = await ctx.step('slow', () => new Promise<string>((resolve) => (finish = () => resolve('finished'))));
    return ctx.step('next', () => `${first} and next`);
  }
}

@Workflow({ name: 'quick' })
class QuickWorkflow {
  async run(_input: void, ctx: WorkflowContext): Promise<string> {
    return ctx.step('quick', () => 'quick');
  }
}

@Workflow({ name: 'sleeper' })
class SleeperWorkflow {
  async run(_input: void, ctx: WorkflowContext): Promise<void> {
    await ctx.sleep('1 day');
  }
}

@Controller()
class HelloController {
  @Get()
  hello(): string {
    return 'from http';
  }
}

describe('an application', () => {
  let database: TestDatabase;
  let url: string;
  beforeAll(async () => {
    database = await createTestDatabase();
    url = await reach(database.url);
  });
  afterEach(async () => {
    delete process.env['DURABLE_WORKER'];
    await closeApplications();
    // The worker of the next test must not execute runs that this test left.
    await database.query('DELETE FROM durable.workflow_runs');
  });
  afterAll(() => database.drop());

  const moduleWith = (options: WorkflowModuleOptions) => {
    @Module({
      imports: [WorkflowModule.forRoot({ connection: { url }, ...options, ...poolerOptions(database.url) })],
      controllers: [HelloController],
      providers: [CallbackWorkflow, SlowWorkflow, QuickWorkflow, SleeperWorkflow],
    })
    class AppModule {}
    return AppModule;
  };
  const httpApplication = async (options: WorkflowModuleOptions = {}): Promise<NestExpressApplication> =>
    closeLater(await NestFactory.create<NestExpressApplication>(moduleWith(options), { logger: false, abortOnError: false }));
  const sessions = () => database.query('SELECT * FROM durable.workflow_sessions');
  /** Checks that a run stays pending for the time of two polls of a worker. */
  const staysPending = async (app: INestApplicationContext): Promise<void> => {
    const handle = await app.get(WorkflowClient).start(QuickWorkflow);
    await expect(handle.result({ timeout: 250 })).rejects.toMatchObject({ code: 'RESULT_TIMEOUT' });
    await expect(handle.status()).resolves.toBe('pending');
    expect(await sessions()).toEqual([]);
    await handle.cancel();
  };

  it('executes runs once it listens for HTTP, and not before', async () => {
    const app = await httpApplication();
    await app.init();
    await staysPending(app);
    const handle = await app.get(WorkflowClient).start(CallbackWorkflow);
    await app.listen(0);
    address = await app.getUrl();
    await expect(handle.result({ timeout: seconds(5) })).resolves.toBe('from http');
    expect(await sessions()).toHaveLength(1);
  });

  it('executes nothing as an application context without the option worker', async () => {
    await staysPending(closeLater(await NestFactory.createApplicationContext(moduleWith({}), { logger: false })));
  });

  it('executes runs as an application context with the option worker', async () => {
    const app = closeLater(await NestFactory.createApplicationContext(moduleWith({ worker: {} }), { logger: false }));
    await expect(app.get(WorkflowClient).execute(QuickWorkflow)).resolves.toBe('quick');
  });

  it('executes nothing with worker: false, even when it listens', async () => {
    const app = await httpApplication({ worker: false });
    await app.listen(0);
    await staysPending(app);
  });

  it('executes nothing with DURABLE_WORKER=off, whatever the options say', async () => {
    process.env['DURABLE_WORKER'] = 'off';
    const app = await httpApplication({ worker: {} });
    await app.listen(0);
    await staysPending(app);
  });

  it('closes while a run sleeps, and leaves no owned run, no session and no connection', async () => {
    const { client, close } = await startApplication(database.url, [SleeperWorkflow, QuickWorkflow], { worker: { suspendAfter: '1m' } });
    const handle = await client.start(SleeperWorkflow);
    await waitFor(async () => (await client.describe(handle.runId)).waits.length > 0);
    await expect(handle.status()).resolves.toBe('running');
    await close();
    const [row] = await database.query('SELECT status, session_id FROM durable.workflow_runs WHERE id = $1', [handle.runId]);
    expect(row.session_id).toBeNull();
    expect(['pending', 'waiting']).toContain(row.status);
    expect(await sessions()).toEqual([]);
    // A pooler keeps its connections to the server, under the names of its clients.
    if (url !== database.url) return;
    const connections = `SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'nestjs-durable'`;
    await waitFor(async () => (await database.query(connections)).length === 0);
  });

  it('records a step that finishes while it closes, and another process continues the run', async () => {
    const { client, close } = await startApplication(database.url, [SlowWorkflow]);
    finish = undefined;
    const { runId } = await client.start(SlowWorkflow);
    await waitFor(() => finish !== undefined);
    const closing = close();
    // The delay gives services time to begin something new, which they must not do.
    setTimeout(() => finish!(), 20);
    await closing;
    const [row] = await database.query('SELECT status, session_id FROM durable.workflow_runs WHERE id = $1', [runId]);
    expect(row).toEqual({ status: 'pending', session_id: null });
    const steps = await database.query('SELECT step_key, output FROM durable.workflow_steps WHERE run_id = $1', [runId]);
    expect(steps).toEqual([{ step_key: 'slow', output: 'finished' }]);
    expect(await sessions()).toEqual([]);
    const other = await startApplication(database.url, [SlowWorkflow]);
    await expect(other.client.getHandle(SlowWorkflow, runId).result({ timeout: seconds(5) })).resolves.toBe('finished and next');
  });

  it('closes without a step that takes longer than shutdownTimeout', async () => {
    const { client, close } = await startApplication(database.url, [SlowWorkflow], { worker: { shutdownTimeout: 50 } });
    finish = undefined;
    const { runId } = await client.start(SlowWorkflow);
    await waitFor(() => finish !== undefined);
    const since = performance.now();
    await close();
    expect(performance.now() - since).toBeLessThan(3_000 * PATIENCE);
    const [row] = await database.query(
      'SELECT status, session_id, epoch, worker_losses AS losses FROM durable.workflow_runs WHERE id = $1',
      [runId],
    );
    expect(row).toEqual({ status: 'pending', session_id: null, epoch: 1, losses: 0 });
    expect(await sessions()).toEqual([]);
  });

  it('hands its runs to another process of the database when it closes', async () => {
    const worker = { pollInterval: '30s', maxPollInterval: '30s', shutdownTimeout: 20 };
    const first = await startApplication(database.url, [SlowWorkflow], { worker, listen: true });
    finish = undefined;
    const { runId } = await first.client.start(SlowWorkflow);
    await waitFor(() => finish !== undefined);
    const second = await startApplication(database.url, [SlowWorkflow], { worker, listen: true });
    expect(await sessions()).toHaveLength(2);
    finish = undefined;
    await first.close();
    await waitFor(() => finish !== undefined, { timeoutMs: 5_000 });
    finish!();
    await expect(second.client.getHandle(SlowWorkflow, runId).result({ timeout: seconds(5) })).resolves.toBe('finished and next');
  });

  it('can be closed twice while it listens for HTTP', async () => {
    const app = await httpApplication();
    await app.listen(0);
    await expect(app.get(WorkflowClient).execute(QuickWorkflow)).resolves.toBe('quick');
    await app.close();
    await app.close();
    expect(await sessions()).toEqual([]);
  });
});
