import { AsyncLocalStorage } from 'node:async_hooks';

import { afterAll, afterEach, beforeAll, describe, expect, it, jest } from '@jest/globals';
import pg from 'pg';

import {
  InvalidInputError,
  ResultTimeoutError,
  Workflow,
  type Duration,
  type WorkflowContext,
  type WorkflowHandle,
} from '../../../src/index.js';
import { ResultHub } from '../../../src/client/result-hub.js';
import { closeApplications, startApplication, type TestApplication } from '../../support/application.js';
import { createTestDatabase, type TestDatabase } from '../../support/database.js';
import { PATIENCE, seconds, waitFor } from '../../support/wait.js';

@Workflow({ name: 'quick' })
class Quick {
  run(n: number, ctx: WorkflowContext): Promise<number> {
    return ctx.step('n', () => n);
  }
}

@Workflow({ name: 'sleepy' })
class Sleepy {
  async run(ms: number, ctx: WorkflowContext): Promise<number> {
    await ctx.sleep(ms);
    return ms;
  }
}

const RUNS = 60;

/** Counts lookups of results, and records the async context of each. */
class LookUps {
  readonly contexts: unknown[] = [];
  private readonly original = pg.Client.prototype.query;

  constructor(als: AsyncLocalStorage<unknown>) {
    const original = this.original as (...all: unknown[]) => unknown;
    const { contexts } = this;
    const spy = function spy(this: pg.Client, ...args: unknown[]): unknown {
      if ((args[0] as { name?: string } | undefined)?.name === 'durable_run_ends') contexts.push(als.getStore());
      return original.apply(this, args);
    };
    pg.Client.prototype.query = spy as typeof this.original;
  }

  get count(): number {
    return this.contexts.length;
  }

  end(): void {
    pg.Client.prototype.query = this.original;
  }
}

describe('execute', () => {
  let database: TestDatabase;
  beforeAll(async () => {
    database = await createTestDatabase();
  });
  afterEach(closeApplications);
  afterAll(() => database.drop());

  it.each([
    ['milliseconds', (): number => 50],
    ['a duration', (): Duration => '50ms'],
    ['a moment', (): Date => new Date(Date.now() + 50)],
  ] as const)('stops waiting after resultTimeout, given as %s, and the run continues', async (_, resultTimeout) => {
    const { client } = await startApplication(database.url, [Quick], { worker: false });
    const error: unknown = await client.execute(Quick, 7, { resultTimeout: resultTimeout() }).catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(ResultTimeoutError);
    const { runId } = error as ResultTimeoutError;
    expect(await client.status(runId)).toBe('pending');
    await startApplication(database.url, [Quick]);
    await expect(client.getHandle(runId).result({ timeout: seconds(45) })).resolves.toBe(7);
  });

  it.each([-1, 'soon', null, Number.NaN])('starts nothing when resultTimeout is %p', async (resultTimeout) => {
    const { client } = await startApplication(database.url, [Quick], { worker: false });
    const before = await client.count();
    await expect(client.execute(Quick, 7, { resultTimeout: resultTimeout as never })).rejects.toThrow(InvalidInputError);
    await expect(client.execute(Quick, 7, { resultTimeout: resultTimeout as never })).rejects.toThrow('options.resultTimeout');
    expect(await client.count()).toBe(before);
  });
});

describe('results of runs', () => {
  let database: TestDatabase;
  let app: TestApplication;
  let lookUps: LookUps;
  const als = new AsyncLocalStorage<unknown>();
  beforeAll(async () => {
    database = await createTestDatabase();
  });
  afterAll(() => database.drop());
  const boot = async (): Promise<void> => {
    app = await startApplication(database.url, [Quick, Sleepy]);
    lookUps = new LookUps(als);
  };
  /** Boots an application that does not poll for results, so that a stall causes no lookup. */
  const bootWithoutPolls = async (): Promise<void> => {
    jest.spyOn(ResultHub.prototype as unknown as { schedule(): void }, 'schedule').mockReturnValue();
    await boot();
  };
  afterEach(async () => {
    jest.restoreAllMocks();
    lookUps.end();
    await closeApplications();
  });

  const allEnded = (handles: readonly WorkflowHandle[]): Promise<unknown> =>
    waitFor(async () => {
      const statuses = await Promise.all(handles.map((handle) => handle.status()));
      return statuses.every((status) => status === 'completed');
    });

  it.each(['start', 'startMany'] as const)('are looked up immediately when the runs have ended (handles of %s)', async (how) => {
    await bootWithoutPolls();
    const inputs = Array.from({ length: RUNS }, (_, n) => n);
    const handles =
      how === 'start' ? await Promise.all(inputs.map((n) => app.client.start(Quick, n))) : await app.client.startMany(Quick, inputs);
    await allEnded(handles);
    const since = performance.now();
    for (const [n, handle] of handles.entries()) expect(await handle.result()).toBe(n);
    // Without an immediate lookup, each result would wait for a poll.
    expect(performance.now() - since).toBeLessThan(RUNS * 100 * PATIENCE);
    expect(lookUps.count).toBe(RUNS);
  });

  it('share one lookup when they are requested in the same turn after the runs have ended', async () => {
    await bootWithoutPolls();
    const handles = await app.client.startMany(
      Quick,
      Array.from({ length: RUNS }, (_, n) => n),
    );
    await allEnded(handles);
    expect(await Promise.all(handles.map((handle) => handle.result()))).toHaveLength(RUNS);
    expect(lookUps.count).toBe(1);
  });

  it('need no lookup when execute starts the runs and awaits their ends', async () => {
    await bootWithoutPolls();
    for (let n = 0; n < 10; n++) expect(await app.client.execute(Quick, n)).toBe(n);
    expect(lookUps.count).toBe(0);
  });

  it('are looked up outside the async context of every request, even when requests wait at the same time', async () => {
    await boot();
    await als.run('first', async () => {
      const short = await app.client.start(Sleepy, 300);
      const long = await app.client.start(Sleepy, 1_500);
      const waiting = als.run('second', () => long.result());
      await short.result();
      await waiting;
    });
    await als.run('third', () =>
      app.client
        .getHandle('nobody')
        .result()
        .catch(() => undefined),
    );
    expect(lookUps.count).toBeGreaterThan(0);
    expect(new Set(lookUps.contexts)).toEqual(new Set([undefined]));
  });
});
