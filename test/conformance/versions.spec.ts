import { describe, expect, it } from '@jest/globals';
import type { LoggerService } from '@nestjs/common';

import { Workflow, WorkflowClient, WorkflowModule, type WorkflowContext, type WorkflowHandle } from '../../src/index.js';
import { bootApplication, closeApplications, startApplication } from '../support/application.js';
import { createTestDatabase, type TestDatabase } from '../support/database.js';
import { onScene } from '../support/faults/fault-workers.js';
import { FaultProxy } from '../support/faults/proxy.js';
import { PATIENCE, seconds, waitFor } from '../support/wait.js';

@Workflow({ name: 'order', version: 1 })
class OrderV1 {
  async run(ms: number, ctx: WorkflowContext): Promise<string> {
    await ctx.sleep(ms);
    return ctx.step('charge', () => 'version 1');
  }
}

@Workflow({ name: 'order', version: 2 })
class OrderV2 {
  async run(ms: number, ctx: WorkflowContext): Promise<string> {
    await ctx.step('reserve', () => undefined);
    await ctx.sleep(ms);
    return 'version 2';
  }
}

@Workflow({ name: 'unrelated' })
class Unrelated {
  async run(): Promise<void> {}
}

const BATCH = 500;

@Workflow({ name: 'long' })
class Long {
  async run(steps: number, ctx: WorkflowContext): Promise<number> {
    let sum = 0;
    for (let batch = 0; batch < steps; batch += BATCH) {
      const values = Array.from({ length: BATCH }, (_, index) => ctx.step('add', () => batch + index));
      for (const value of await Promise.all(values)) sum += value;
    }
    await ctx.sleep(200);
    return sum;
  }
}

async function onDatabase(test: (database: TestDatabase) => Promise<void>): Promise<void> {
  const database = await createTestDatabase();
  try {
    await test(database);
  } finally {
    await closeApplications();
    await database.drop();
  }
}

describe('versions of a workflow', () => {
  it('run side by side: runs keep their version in another worker, and starts by name use the highest', () =>
    onDatabase(async (database) => {
      const worker = { suspendAfter: 20 };
      const old = await startApplication(database.url, [OrderV1], { worker });
      const before = await old.client.start(OrderV1, 400);
      const byNameBefore = await old.client.start('order', 400);
      // On a slow machine a run may have slept and ended before the other sleeps.
      const hasSlept = async (handle: WorkflowHandle): Promise<boolean> => ['waiting', 'completed'].includes(await handle.status());
      await waitFor(async () => (await hasSlept(byNameBefore)) && (await hasSlept(before)));
      const both = await startApplication(database.url, [OrderV1, OrderV2], { worker });
      await old.close();
      const { client } = both;
      expect(await client.getHandle(before.runId).result()).toBe('version 1');
      expect(await client.getHandle(byNameBefore.runId).result()).toBe('version 1');
      const after = await client.start(OrderV2, 1);
      const byName = await client.start('order', 1);
      const oldStill = await client.start(OrderV1, 1);
      expect(await Promise.all([after, byName, oldStill].map((handle) => handle.result()))).toEqual([
        'version 2',
        'version 2',
        'version 1',
      ]);
      expect((await byName.describe()).version).toBe(2);
      expect((await byNameBefore.describe().catch(() => client.describe(byNameBefore.runId))).version).toBe(1);
    }));

  it('are reported at boot and by health() when no class can execute their due runs, which stay due', () =>
    onDatabase(async (database) => {
      const starter = await startApplication(database.url, [], { worker: false });
      const stranded = await starter.client.start(OrderV1, 1, { id: 'stranded' });
      await starter.client.start(OrderV1, 1, { priority: 5 });
      await starter.client.start('gone', 1, { queue: 'mails' });
      await starter.client.start(Unrelated, undefined, { delay: '1 hour' });
      const warnings: string[] = [];
      const ignore = (): void => undefined;
      const logger: LoggerService = { log: ignore, error: ignore, warn: (message: string) => warnings.push(message) };
      const module = await bootApplication(
        {
          imports: [WorkflowModule.forRoot({ connection: { url: database.url }, worker: { concurrency: 7 } })],
          providers: [OrderV2, Unrelated],
        },
        logger,
      );
      const client = module.get(WorkflowClient);
      const said = await waitFor(() => warnings.find((warning) => warning.includes('can continue these due runs')), {
        message: () => warnings.join(),
      });
      expect(said).toContain('2 of "order" version 1 in queue "default"');
      expect(said).toContain('1 of "gone" in queue "mails"');
      const { createdAt } = await stranded.describe();
      const health = await client.health();
      expect(health.database).toMatchObject({ isReachable: true });
      expect(health.worker).toEqual({ state: 'running', runs: 0, slots: 7, freeSlots: 7, unwritable: [] });
      expect(health.sessions).toMatchObject([{ pid: process.pid, isExpired: false }]);
      expect(health.unregistered).toEqual([
        { queue: 'default', name: 'order', version: 1, due: 2, oldestDueAt: createdAt },
        { queue: 'mails', name: 'gone', version: 0, due: 1, oldestDueAt: expect.any(Date) },
      ]);
      expect(health.backlog).toEqual(health.unregistered);
      expect(health.oldestDueAt).toEqual(createdAt);
      expect(await stranded.status()).toBe('pending');
      expect(await starter.client.health()).toMatchObject({
        worker: { state: 'stopped', slots: 0 },
        unregistered: health.unregistered,
        sessions: [{}],
      });
    }));

  it('are reported at boot and by health() when no class can execute their waiting runs', () =>
    onDatabase(async (database) => {
      const old = await startApplication(database.url, [OrderV1], { worker: { suspendAfter: 1 } });
      const waiting = await old.client.start(OrderV1, 3_600_000);
      await waitFor(async () => (await waiting.status()) === 'waiting');
      await old.close();
      const warnings: string[] = [];
      const ignore = (): void => undefined;
      const logger: LoggerService = { log: ignore, error: ignore, warn: (message: string) => warnings.push(message) };
      const imports = [WorkflowModule.forRoot({ connection: { url: database.url }, worker: {} })];
      const module = await bootApplication({ imports, providers: [OrderV2] }, logger);
      const said = await waitFor(() => warnings.find((warning) => warning.includes('could continue')), { message: () => warnings.join() });
      expect(said).toContain('"order" version 1 in queue "default"');
      const health = await module.get(WorkflowClient).health();
      expect(health).toMatchObject({ unregistered: [], unregisteredWaiting: [{ queue: 'default', name: 'order', version: 1 }] });
    }));

  it.each(['refuse', 'silence'] as const)('health() reports a database that does not answer (%s)', (fault) =>
    onDatabase(async (database) => {
      const proxy = await FaultProxy.start(database.url);
      try {
        const app = await startApplication(proxy.url, [Unrelated]);
        expect(await app.client.health()).toMatchObject({ database: { isReachable: true } });
        proxy[fault]();
        const began = performance.now();
        expect(await app.client.health()).toMatchObject({
          database: { isReachable: false, error: expect.any(Error) },
          worker: { slots: process.env['DURABLE_CONFORMANCE'] === 'qstash' ? 0 : 50 },
          sessions: [],
          backlog: [],
        });
        expect(performance.now() - began).toBeLessThan(10_000 * PATIENCE);
        // The module gives up silent connections only after a timeout.
        if (fault === 'silence') return;
        proxy.restore();
        await waitFor(async () => (await app.client.health()).database.isReachable);
      } finally {
        proxy.restore();
        await closeApplications();
        await proxy.stop();
      }
    }),
  );
});

describe('a change of the code behind ctx.patched', () => {
  it(
    'applies across deployments to runs that had not reached it, and to no others',
    onScene(async (scene) => {
      const program = 'family-worker.ts';
      const worker = { suspendAfter: 20 };
      const old = await scene.ready({ program, worker, variant: 'old', deploymentId: 'old' });
      const { client } = scene.application;
      // One run is past the change when the new code is deployed, the other is before it.
      await scene.start('patched', undefined, ['past']);
      await waitFor(async () => (await client.steps('past')).some(({ stepKey }) => stepKey === 'ship'));
      await scene.start('patched', undefined, ['before']);
      await waitFor(async () => (await client.status('before')) === 'waiting');
      const deployed = scene.ready({ program, worker, variant: 'new', deploymentId: 'new' });
      old.kill('SIGKILL');
      await Promise.all([old.exited, deployed]);
      await Promise.all(['past', 'before'].map((id) => client.getHandle(id).result({ timeout: seconds(45) })));
      const keys = async (id: string): Promise<string[]> => (await client.steps(id)).map(({ stepKey }) => stepKey);
      expect(await keys('past')).toEqual(['reserve', 'sleep', 'ship', 'sleep#2', 'bill']);
      expect(await keys('before')).toEqual(['reserve', 'sleep', '$patch:check stock first', 'check', 'ship', 'sleep#2', 'bill']);
      // After another kill, a run that took the new branch stays on it.
      await scene.start('patched', undefined, ['fresh']);
      await waitFor(async () => (await keys('fresh')).includes('check'));
      const next = scene.ready({ program, worker, variant: 'new', deploymentId: 'newer' });
      (await deployed).kill('SIGKILL');
      await next;
      expect(await client.getHandle('fresh').result({ timeout: seconds(45) })).toBe('billed by newer');
    }),
  );
});

describe('a history of 10,000 steps', () => {
  const STEPS = 10_000;

  it('is recorded and replayed in bounded time and memory', () =>
    onDatabase(async (database) => {
      const first = await startApplication(database.url, [Long], { worker: { suspendAfter: 20 } });
      const began = performance.now();
      const handle = await first.client.start(Long, STEPS);
      await waitFor(async () => (await handle.status()) === 'waiting', { timeoutMs: 100_000, message: 'the steps to be recorded' });
      const recorded = performance.now() - began;
      const heapBefore = process.memoryUsage().heapUsed;
      const replayed = performance.now();
      expect(await handle.result({ timeout: seconds(30) })).toBe((STEPS * (STEPS - 1)) / 2);
      const replay = performance.now() - replayed;
      const heap = (process.memoryUsage().heapUsed - heapBefore) / 2 ** 20;
      if (process.env['DURABLE_TEST_LOG'])
        console.log(
          `${STEPS} steps: recorded in ${Math.round(recorded)} ms, replayed in ${Math.round(replay)} ms, ${Math.round(heap)} MiB more heap`,
        );
      expect((await handle.describe()).epoch).toBe(2);
      expect(replay).toBeLessThan(10_000 * PATIENCE);
      expect(heap).toBeLessThan(200);
      const { entries } = await handle.history({ limit: 1_000 });
      expect(entries).toHaveLength(1_000);
    }));
});
