import nodeTimers from 'node:timers';

import { afterAll, afterEach, beforeAll, describe, expect, it, jest } from '@jest/globals';

import { Workflow, WorkflowClient, type WorkflowContext } from '../../../src/index.js';
import { closeApplications, startApplication, type TestApplication } from '../../support/application.js';
import { createTestDatabase, type TestDatabase } from '../../support/database.js';
import { seconds } from '../../support/wait.js';

const realTimeout = nodeTimers.setTimeout;
const { setTimeout, setInterval, setImmediate } = nodeTimers;
const realTimers = { setTimeout, setInterval, setImmediate };

@Workflow({ name: 'simple' })
class SimpleWorkflow {
  async run(_input: void, ctx: WorkflowContext): Promise<string> {
    await ctx.step('once', { retry: { initialInterval: 10, jitter: false } }, (): void => {
      if (attempts++ % 2 === 0) throw new Error('the first attempt fails');
    });
    await ctx.sleep(50);
    return 'done';
  }
}

let attempts = 0;

/** Resolves after a delay by the real clock, while the test fakes timers. */
const late = (ms: number): Promise<'late'> => new Promise((resolve) => realTimeout(() => resolve('late'), ms));

describe('an application whose test fakes timers', () => {
  let database: TestDatabase;
  let app: TestApplication;
  beforeAll(async () => {
    database = await createTestDatabase();
    app = await startApplication(database.url, [SimpleWorkflow]);
    await app.client.execute(SimpleWorkflow);
  });
  afterEach(() => {
    jest.useRealTimers();
    Object.assign(nodeTimers, realTimers);
  });
  afterAll(async () => {
    await closeApplications();
    await database.drop();
  });

  const executes = (): Promise<string> => Promise.race([app.client.execute(SimpleWorkflow), late(seconds(20))]);

  it.each([
    ['all timers but nextTick and queueMicrotask', { doNotFake: ['nextTick', 'queueMicrotask'] }],
    ['timers that advance by themselves', { advanceTimers: true, doNotFake: ['nextTick', 'queueMicrotask'] }],
    [
      'only Date, decades ago',
      {
        now: new Date('1999-12-31'),
        doNotFake: [
          'hrtime',
          'nextTick',
          'performance',
          'queueMicrotask',
          'setImmediate',
          'clearImmediate',
          'setInterval',
          'clearInterval',
          'setTimeout',
          'clearTimeout',
        ],
      },
    ],
  ] as [string, Parameters<typeof jest.useFakeTimers>[0]][])('executes runs during and after fakes: %s', async (_, options) => {
    jest.useFakeTimers(options);
    await expect(executes()).resolves.toBe('done');
    jest.useRealTimers();
    await expect(executes()).resolves.toBe('done');
  });

  it('completes its run when a test that also faked nextTick restores real timers', async () => {
    jest.useFakeTimers();
    const executed = app.client.execute(SimpleWorkflow);
    await late(300);
    jest.useRealTimers();
    await expect(Promise.race([executed, late(seconds(20))])).resolves.toBe('done');
    await expect(executes()).resolves.toBe('done');
  });

  it('executes runs while the functions of node:timers are replaced too, as Sinon and node:test do', async () => {
    const swallow = (() => ({ unref: () => undefined, ref: () => undefined })) as never;
    Object.assign(nodeTimers, { setTimeout: swallow, setImmediate: swallow, setInterval: swallow });
    await expect(executes()).resolves.toBe('done');
  });

  it('closes while timers are faked', async () => {
    const other = await startApplication(database.url, [SimpleWorkflow]);
    expect(other.module.get(WorkflowClient)).toBeDefined();
    jest.useFakeTimers({ doNotFake: ['nextTick', 'queueMicrotask'] });
    await expect(Promise.race([other.close().then(() => 'closed'), late(seconds(20))])).resolves.toBe('closed');
  });
});
