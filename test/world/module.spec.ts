import { afterAll, afterEach, beforeAll, describe, expect, it, jest } from '@jest/globals';
import type { INestApplication } from '@nestjs/common';
import { Test } from '@nestjs/testing';
import { TypeOrmModule } from '@nestjs/typeorm';

import { WorkflowClient, WorkflowModule } from '../../src/index.js';
import { createWorld, getWorldToken, WorldModule, type World } from '../../src/world/index.js';
import { createTestDatabase, type TestDatabase } from '../support/database.js';
import { kitFolder } from './support/kits.js';
import { waitFor } from '../support/wait.js';
import { newId, refusalOf, runCreated, serve, startRun } from './support/test-world.js';

describe('WorldModule', () => {
  let database: TestDatabase;
  let application: INestApplication;

  beforeAll(async () => {
    database = await createTestDatabase();
    // The kit is looked for in the folder of the application.
    jest.spyOn(process, 'cwd').mockReturnValue(kitFolder('stable'));
  });

  afterAll(async () => {
    jest.restoreAllMocks();
    await database.drop();
  });

  afterEach(() => (application as INestApplication | undefined)?.close());

  it('gives the kit the World of the application, on the pool of WorkflowModule', async () => {
    // The kit creates its World while the files of the application are loaded.
    const early = createWorld();
    const testing = await Test.createTestingModule({
      imports: [
        TypeOrmModule.forRoot({ type: 'postgres', url: database.url }),
        WorkflowModule.forRoot({}),
        WorldModule.forRootAsync({ useFactory: () => Promise.resolve({ schema: 'other_world', deploymentId: 'nest' }) }),
      ],
    }).compile();
    application = await testing.createNestApplication().init();
    const world = application.get<World>(getWorldToken());
    const runId = await startRun(world);
    expect(await early.getDeploymentId()).toBe('nest');
    expect(early.specVersion).toBe(3);
    expect(await early.runs.get(runId)).toMatchObject({ runId, status: 'running' });
    // The worker may use the same connection at once. Its statement then hides that of the World.
    await waitFor(async () => {
      await early.runs.get(runId);
      const applications = await database.query<{ count: number }>(
        `SELECT count(*)::int AS count FROM pg_stat_activity WHERE datname = current_database() AND query LIKE '%other_world%' AND pid <> pg_backend_pid()`,
      );
      return applications[0]!.count > 0;
    });
    const client = application.get(WorkflowClient);
    const second = await startRun(world);
    const page = await client.world.list({ schema: 'other_world', limit: 1 });
    expect(page.runs).toMatchObject([{ runId: second, status: 'running', deploymentId: 'default' }]);
    expect((await client.world.list({ schema: 'other_world', cursor: page.cursor! })).runs).toMatchObject([{ runId }]);
    expect((await client.world.list({ schema: 'other_world', status: 'failed' })).runs).toEqual([]);
    expect((await client.world.list()).runs).toEqual([]);
    await application.close();
    expect(await refusalOf(world.events.create(newId(), runCreated(world)))).toMatchObject({ name: 'WorkflowWorldError', status: 503 });
  });

  it('gives the kit the World that the application has created with options, until it is closed', async () => {
    const early = createWorld();
    const own = createWorld({ databaseUrl: database.url, deploymentId: 'own' });
    expect(await early.getDeploymentId()).toBe('own');
    const runId = await startRun(own);
    expect(await early.runs.get(runId)).toMatchObject({ runId });
    await own.close();
    const name = (): Promise<string> => early.getDeploymentId();
    expect(await name().catch(() => 'none is configured')).not.toBe('own');
  });

  it.each(['WorldModule', 'createWorld'])('is the World of the kit until the deliveries have ended, made by %s', async (maker) => {
    const early = createWorld();
    let open = (): void => undefined;
    const gate = new Promise<void>((resolve) => (open = resolve));
    const seen: string[] = [];
    // The runtime writes events by its own World while it executes a delivery.
    const handle = early.createQueueHandler('__wkf_workflow_', async () => {
      seen.push('begun');
      await gate;
      seen.push(await early.getDeploymentId().catch(() => 'none is configured'));
    });
    const routes = await serve(handle);
    try {
      const options = { databaseUrl: database.url, baseUrl: routes.url, deploymentId: maker, pollIntervalMs: 100 };
      let close: () => Promise<void>;
      if (maker === 'WorldModule') {
        const testing = await Test.createTestingModule({ imports: [WorldModule.forRoot(options)] }).compile();
        application = await testing.createNestApplication().init();
        close = () => application.close();
      } else {
        const world = createWorld(options);
        await world.start();
        close = () => world.close();
      }
      await early.queue('__wkf_workflow_test', { runId: newId() });
      await waitFor(() => seen.includes('begun') || undefined);
      const reader = (await early.streams.get(newId(), 'strm_any')).getReader();
      const failure = refusalOf(reader.read());
      const closed = close();
      // A World that closes fails its readers first.
      expect(await failure).toMatchObject({ status: 503 });
      open();
      await closed;
      expect(seen).toEqual(['begun', maker]);
    } finally {
      await routes.close();
    }
  });

  it('is the World of a delivery that goes on after the close was cut off', async () => {
    const early = createWorld();
    let open = (): void => undefined;
    const gate = new Promise<void>((resolve) => (open = resolve));
    const seen: string[] = [];
    const handle = early.createQueueHandler('__wkf_workflow_', async () => {
      seen.push('begun');
      await gate;
      seen.push(await early.getDeploymentId().catch(() => 'none is configured'));
      seen.push((await refusalOf(early.events.create(newId(), runCreated(early)))).name);
    });
    const routes = await serve(handle);
    const world = createWorld({ databaseUrl: database.url, baseUrl: routes.url, deploymentId: 'cut', shutdownTimeoutMs: 50 });
    try {
      await world.start();
      await world.queue('__wkf_workflow_test', { runId: newId() });
      await waitFor(() => seen.includes('begun'));
      await world.close();
      open();
      await waitFor(() => seen.length === 3);
      expect(seen).toEqual(['begun', 'cut', 'WorkflowWorldError']);
    } finally {
      await routes.close();
    }
  });

  it('works without WorkflowModule', async () => {
    const testing = await Test.createTestingModule({ imports: [WorldModule.forRoot({ databaseUrl: database.url })] }).compile();
    application = await testing.createNestApplication().init();
    const runId = await startRun(application.get<World>(getWorldToken()));
    expect(runId).toMatch(/^wrun_/);
  });
});
