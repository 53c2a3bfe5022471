import { setTimeout as sleep } from 'node:timers/promises';

import { Injectable, Module, type OnApplicationBootstrap } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { Test } from '@nestjs/testing';
import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';

import { Workflow, WorkflowClient, WorkflowModule } from '../../../src/index.js';
import { bootApplication, closeApplications, closeLater } from '../../support/application.js';
import { createTestDatabase, type TestDatabase } from '../../support/database.js';
import { killSpawned, spawnCompiled } from '../../support/processes.js';
import { waitFor } from '../../support/wait.js';

@Workflow({ name: 'echo' })
class EchoWorkflow {
  async run(input: string): Promise<string> {
    return input;
  }
}

@(Workflow({ name: 'no-run', module: 'second' }) as ClassDecorator)
class NoRunWorkflow {}

let seen: unknown[][] = [];

describe('the boot of an application', () => {
  let database: TestDatabase;
  beforeAll(async () => {
    database = await createTestDatabase();
  });
  afterEach(async () => {
    seen = [];
    await Promise.all([closeApplications(), killSpawned()]);
  });
  afterAll(() => database.drop());

  const sessions = () => database.query('SELECT 1 FROM durable.workflow_sessions');
  const connections = () =>
    database.query(`SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND application_name LIKE 'nestjs-durable%'`);
  const workflowModule = () => WorkflowModule.forRoot({ connection: { url: database.url }, worker: {} });

  it.each(['http', 'context'])('a process whose boot fails outside the module exits by itself (%s)', async (kind) => {
    const spawned = spawnCompiled('test/processes/failing-boot.ts', { args: [kind], env: { DATABASE_URL: database.url } });
    await spawned.waitForLine(/failed broken/);
    await expect(spawned.exited).resolves.toEqual({ code: 3, signal: null });
    expect(await sessions()).toEqual([]);
  });

  it('starts the worker after the slowest onApplicationBootstrap hook', async () => {
    @Injectable()
    class Slow implements OnApplicationBootstrap {
      async onApplicationBootstrap(): Promise<void> {
        await sleep(50);
        seen.push(await sessions());
      }
    }
    @Module({ imports: [workflowModule()], providers: [EchoWorkflow, Slow] })
    class AppModule implements OnApplicationBootstrap {
      async onApplicationBootstrap(): Promise<void> {
        seen.push([this.constructor.name], await sessions());
      }
    }
    const module = await bootApplication({ imports: [AppModule] });
    expect(seen).toEqual([[], ['AppModule'], []]);
    await expect(module.get(WorkflowClient).execute(EchoWorkflow, 'a')).resolves.toBe('a');
    expect(await sessions()).toHaveLength(1);
  });

  it('warns when an onApplicationBootstrap hook waits for a run, which executes only after the boot', async () => {
    const warnings: string[] = [];
    const logger = { log: () => undefined, error: () => undefined, warn: (message: string) => warnings.push(message) };
    class Waiting implements OnApplicationBootstrap {
      constructor(private readonly client: WorkflowClient) {}

      async onApplicationBootstrap(): Promise<void> {
        const handle = await this.client.start(EchoWorkflow, 'a');
        await waitFor(() => warnings.some((line) => line.includes('A hook that waits')));
        await handle.cancel();
      }
    }
    const waiting = { provide: Waiting, inject: [WorkflowClient], useFactory: (client: WorkflowClient) => new Waiting(client) };
    const module = closeLater(
      await Test.createTestingModule({ imports: [workflowModule()], providers: [EchoWorkflow, waiting] })
        .setLogger(logger)
        .compile(),
    );
    await module.init();
    // On a slow machine, another warning may report the run that is due meanwhile.
    expect(warnings).toContainEqual(expect.stringContaining('A hook that waits for the result of a run would wait for ever'));
  });

  it('leaves the onApplicationBootstrap hook of the root module unchanged', async () => {
    @Module({ imports: [workflowModule()], providers: [EchoWorkflow] })
    class RootModule {
      readonly calls: string[] = [];

      onApplicationBootstrap(): void {
        this.calls.push('called');
      }
    }
    const app = closeLater(await NestFactory.createApplicationContext(RootModule, { logger: false }));
    const root = app.get(RootModule);
    expect(root.calls).toEqual(['called']);
    expect(Object.keys(root)).toEqual(['calls']);
    expect(Object.hasOwn(root, 'onApplicationBootstrap')).toBe(false);
    await expect(app.get(WorkflowClient).execute(EchoWorkflow, 'a')).resolves.toBe('a');
  });

  it('closes all WorkflowModules when one of them fails', async () => {
    const second = WorkflowModule.forRoot({ name: 'second', schema: 'second', connection: { url: database.url }, worker: {} });
    const imports = [workflowModule(), second];
    const module = closeLater(await Test.createTestingModule({ imports, providers: [EchoWorkflow, NoRunWorkflow] }).compile());
    module.useLogger(false);
    await expect(module.init()).rejects.toThrow(/NoRunWorkflow: the class has no method run/);
    await waitFor(async () => (await connections()).length === 0);
    expect(await sessions()).toEqual([]);
  });

  it('leaves no connection and no session when its last hook fails', async () => {
    @Module({ imports: [workflowModule()], providers: [EchoWorkflow] })
    class RootModule {
      onApplicationBootstrap(): void {
        throw new Error('the very last');
      }
    }
    const booting = NestFactory.createApplicationContext(RootModule, { logger: false, abortOnError: false });
    await expect(booting).rejects.toThrow('the very last');
    await waitFor(async () => (await connections()).length === 0);
    expect(await sessions()).toEqual([]);
  });
});
