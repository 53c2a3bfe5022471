import type { AddressInfo } from 'node:net';

import { Controller, Get, Inject, Injectable, type INestApplication, type Provider } from '@nestjs/common';
import { HealthCheck, HealthCheckService, TerminusModule, type HealthCheckResult } from '@nestjs/terminus';
import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';

import {
  DurableHealthIndicator,
  getWorkflowHealthIndicatorToken,
  InvalidInputError,
  OnRunEvent,
  Workflow,
  WorkflowClient,
  WorkflowModule,
  type HealthThresholds,
  type WorkflowModuleOptions,
} from '../../../src/index.js';
import { closeApplications, closeLater } from '../../support/application.js';
import { createTestDatabase, type TestDatabase } from '../../support/database.js';
import { createHttpApplication } from '../../support/http-platforms.js';
import { waitFor } from '../../support/wait.js';

@Workflow({ name: 'order' })
class Order {
  async run(): Promise<string> {
    return 'done';
  }
}

@Injectable()
class Alerts {
  @OnRunEvent('run.failed')
  failed(): void {}
}

let thresholds: HealthThresholds = {};

@Controller()
class HealthController {
  constructor(
    @Inject(HealthCheckService) private readonly health: HealthCheckService,
    @Inject(DurableHealthIndicator) private readonly durable: DurableHealthIndicator,
  ) {}

  @Get('ready')
  @HealthCheck()
  ready(): Promise<HealthCheckResult> {
    return this.health.check([() => this.durable.isHealthy('workflows', thresholds)]);
  }

  @Get('live')
  @HealthCheck()
  live(): Promise<HealthCheckResult> {
    return this.health.check([() => this.durable.isAlive('workflows')]);
  }
}

describe('DurableHealthIndicator with @nestjs/terminus', () => {
  let database: TestDatabase;
  beforeAll(async () => {
    database = await createTestDatabase();
  });
  afterEach(async () => {
    thresholds = {};
    await closeApplications();
  });
  afterAll(() => database.drop());

  async function serve(
    url: string,
    options: WorkflowModuleOptions = {},
    providers: Provider[] = [Order],
  ): Promise<{ app: INestApplication; address: string }> {
    class Root {}
    const module = WorkflowModule.forRoot({ connection: { url }, worker: {}, ...options });
    const root = {
      module: Root,
      imports: [module, TerminusModule.forRoot({ logger: false })],
      controllers: [HealthController],
      providers,
    };
    const app = closeLater(await createHttpApplication('express', root, { logger: false, abortOnError: false }));
    await app.listen(0, '127.0.0.1');
    const { port } = (app.getHttpServer() as { address(): AddressInfo }).address();
    return { app, address: `http://127.0.0.1:${port}` };
  }

  interface Answer {
    readonly status: number;
    readonly body: HealthCheckResult;
    readonly workflows: Record<string, unknown>;
  }
  const ask = async (url: string): Promise<Answer> => {
    const response = await fetch(url);
    const body = (await response.json()) as HealthCheckResult;
    return { status: response.status, body, workflows: body.details['workflows']! };
  };

  it('is ready while the database answers and the worker runs', async () => {
    const { app, address } = await serve(database.url);
    await app.get(WorkflowClient).execute(Order);
    const { status, body, workflows } = await ask(`${address}/ready`);
    expect({ status, body: body.status }).toEqual({ status: 200, body: 'ok' });
    expect(workflows).toEqual({ status: 'up', worker: 'running', databaseLatencyMs: expect.any(Number), unregistered: 0 });
  });

  it('answers 503 when a threshold is exceeded, and names the reason', async () => {
    const { app, address } = await serve(database.url);
    await app.get(WorkflowClient).start('nobody has it', undefined);
    expect((await ask(`${address}/ready`)).status).toBe(200);
    thresholds = { maxUnregistered: 0 };
    const unregistered = await ask(`${address}/ready`);
    expect(unregistered).toMatchObject({ status: 503, body: { status: 'error' }, workflows: { status: 'down', unregistered: 1 } });
    expect(unregistered.workflows['reasons']).toEqual(['no living process executes 1 due runs']);
    thresholds = { maxUnregistered: 1, maxOldestDueAge: 1 };
    const old = await waitFor(async () => {
      const answer = await ask(`${address}/ready`);
      return answer.status === 503 ? answer : undefined;
    });
    expect(old.workflows['reasons']).toEqual([expect.stringMatching(/^a run has been due for \d+ ms$/)]);
    thresholds = { maxDatabaseLatency: 0 };
    expect((await ask(`${address}/ready`)).workflows['reasons']).toEqual([expect.stringMatching(/^the database took \d+ ms to answer$/)]);
  });

  it('is ready without a worker only where none is started', async () => {
    const { app, address } = await serve(database.url, { worker: false });
    expect(await ask(`${address}/ready`)).toMatchObject({ status: 200, workflows: { worker: 'stopped' } });
    expect(app.get(DurableHealthIndicator).isAlive('workflows')).toEqual({ workflows: { status: 'up', worker: 'stopped' } });
  });

  it('is ready in a process that has listeners only', async () => {
    const { address } = await serve(database.url, {}, [Alerts]);
    expect(await ask(`${address}/ready`)).toMatchObject({ status: 200, workflows: { worker: 'stopped' } });
  });

  it('is alive but not ready while the database is away, and shows no text of its errors', async () => {
    const other = await createTestDatabase();
    const { address } = await serve(other.url);
    expect((await ask(`${address}/ready`)).status).toBe(200);
    await other.drop();
    const away = await waitFor(async () => {
      const answer = await ask(`${address}/ready`);
      return answer.status === 503 ? answer : undefined;
    });
    expect(away.workflows['reasons']).toContain('the database does not answer');
    expect(JSON.stringify(away.body)).not.toContain(new URL(other.url).pathname.slice(1));
    expect(await ask(`${address}/live`)).toMatchObject({ status: 200, workflows: { status: 'up' } });
    thresholds = { worker: 'ignored' };
    expect((await ask(`${address}/ready`)).workflows['reasons']).toEqual(['the database does not answer']);
  });

  it('has a token for each module with a name', async () => {
    class Root {}
    const module = WorkflowModule.forRoot({ name: 'billing', schema: 'billing', connection: { url: database.url }, worker: false });
    const app = closeLater(await createHttpApplication('express', { module: Root, imports: [module] }, { logger: false }));
    await app.init();
    const indicator = app.get<DurableHealthIndicator>(getWorkflowHealthIndicatorToken('billing'));
    expect(await indicator.isHealthy('billing')).toMatchObject({ billing: { status: 'up' } });
  });

  it.each<[string, object]>([
    ['thresholds.worker', { worker: 'stopped' }],
    ['thresholds.maxUnregistered', { maxUnregistered: -1 }],
    ['thresholds.maxOldestDueAge', { maxOldestDueAge: 'soon' }],
    ['thresholds.maxDatabaseLatency', { maxDatabaseLatency: -1 }],
    ['thresholds.maxAge', { maxAge: 1 }],
  ])('refuses %s in %j', async (argument, given) => {
    const { app } = await serve(database.url, { worker: false });
    const checked = app.get(DurableHealthIndicator).isHealthy('workflows', given);
    await expect(checked).rejects.toBeInstanceOf(InvalidInputError);
    await expect(checked).rejects.toMatchObject({ argument });
    await expect(app.get(DurableHealthIndicator).isHealthy('')).rejects.toMatchObject({ argument: 'key' });
  });
});
