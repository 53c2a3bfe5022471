import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';

import { defineSignal, RunEndedError, RunNotFoundError, Workflow, WorkflowCancelledError, type WorkflowContext } from '../../src/index.js';
import { closeApplications, startApplication, type TestApplication } from '../support/application.js';
import { createTestDatabase, type TestDatabase } from '../support/database.js';
import { seconds, waitFor } from '../support/wait.js';

const go = defineSignal<number>('go');
let log: string[] = [];
let release: () => void = () => undefined;
let gate: Promise<void> = Promise.resolve();

@Workflow({ name: 'gated' })
class Gated {
  async run(_input: void, ctx: WorkflowContext): Promise<string> {
    try {
      await ctx.step('first', async () => {
        log.push('first');
        await gate;
        log.push('first done');
      });
      await ctx.step('second', () => void log.push('second'));
    } finally {
      await ctx.step('tidy', () => void log.push('tidy'));
    }
    return 'done';
  }
}

const LENGTH = 100;

@Workflow({ name: 'chain' })
class Chain {
  async run(_input: void, ctx: WorkflowContext): Promise<string> {
    try {
      for (let index = 0; index < LENGTH; index++) {
        await ctx.step('link', { key: `${index}` }, async () => {
          log.push(`${index}`);
          await new Promise((resolve) => setTimeout(resolve, 3));
          log.push(`${index} done`);
        });
      }
    } finally {
      await ctx.step('tidy', () => void log.push('tidy'));
    }
    return 'done';
  }
}

@Workflow({ name: 'endless' })
class Endless {
  async run(_input: void, ctx: WorkflowContext): Promise<never> {
    for (;;) await ctx.step('link', () => new Promise<void>((resolve) => setTimeout(resolve, 20)));
  }
}

@Workflow({ name: 'waiting' })
class Waiting {
  async run(input: { ms?: number; signals?: number }, ctx: WorkflowContext): Promise<unknown[]> {
    const got: unknown[] = [];
    if (input.ms !== undefined) await ctx.sleep(input.ms);
    for (let index = 0; index < (input.signals ?? 0); index++) got.push(await ctx.waitForSignal(go));
    log.push('over');
    return got;
  }
}

describe('a paused run', () => {
  let app: TestApplication;
  let database: TestDatabase;
  beforeAll(async () => {
    database = await createTestDatabase();
    app = await startApplication(database.url, [Gated, Chain, Endless, Waiting], { worker: { suspendAfter: 20 } });
  });
  beforeEach(() => {
    log = [];
    gate = new Promise((resolve) => (release = resolve));
  });
  afterAll(async () => {
    await closeApplications();
    await database.drop();
  });

  const reaches = async (runId: string, status: string): Promise<void> => {
    await waitFor(async () => (await app.client.status(runId)) === status, { message: status });
  };
  const events = (runId: string): Promise<{ kind: string; data: unknown }[]> =>
    database.query(`SELECT kind, data FROM durable.workflow_run_log WHERE run_id = $1 AND kind <> 'signal_sent' ORDER BY id`, [runId]);
  const inbox = (runId: string): Promise<unknown[]> => database.query(`SELECT * FROM durable.workflow_inbox WHERE run_id = $1`, [runId]);

  it('records the running body, and begins no further body until it is resumed', async () => {
    const handle = await app.client.start(Chain);
    await waitFor(() => log.includes('2 done'));
    await app.client.pause(handle.runId, { actor: 'ann', reason: 'lunch' });
    await reaches(handle.runId, 'paused');
    const before = [...log];
    const done = (await handle.steps()).length;
    expect(before).toEqual(Array.from({ length: done }, (_, index) => [`${index}`, `${index} done`]).flat());
    expect(done).toBeLessThan(LENGTH);
    await app.client.execute(Waiting, { ms: 100 });
    expect(log).toEqual([...before, 'over']);
    await app.client.resume(handle.runId, { actor: 'bob' });
    expect(await handle.result()).toBe('done');
    expect(log.filter((entry) => entry.endsWith('done'))).toHaveLength(LENGTH);
    expect(log.at(-1)).toBe('tidy');
    expect(await events(handle.runId)).toEqual([
      { kind: 'paused', data: { actor: 'ann', reason: 'lunch' } },
      { kind: 'resumed', data: { actor: 'bob' } },
    ]);
    expect(await inbox(handle.runId)).toEqual([]);
  });

  it('continues without an interruption when it is resumed before it was paused', async () => {
    const handle = await app.client.start(Gated);
    await waitFor(() => log.includes('first'));
    await app.client.pause(handle.runId);
    await app.client.resume(handle.runId);
    release();
    expect(await handle.result()).toBe('done');
    expect((await app.client.describe(handle.runId)).epoch).toBe(1);
  });

  it('is paused at once while it waits, and takes the signals sent meanwhile when it is resumed', async () => {
    const handle = await app.client.start(Waiting, { signals: 2 });
    await reaches(handle.runId, 'waiting');
    await app.client.pause(handle.runId);
    expect(await handle.status()).toBe('paused');
    await handle.signal(go, 1);
    await handle.signal(go, 2);
    expect(await handle.status()).toBe('paused');
    await app.client.resume(handle.runId);
    expect(await handle.result()).toEqual([1, 2]);
  });

  it('does not continue at its wake time until it is resumed', async () => {
    const handle = await app.client.start(Waiting, { ms: seconds(1) });
    await reaches(handle.runId, 'waiting');
    await app.client.pause(handle.runId);
    // When this later run has ended, the timer service has skipped the paused run.
    await app.client.execute(Waiting, { ms: seconds(1) + 100 });
    expect(await handle.status()).toBe('paused');
    await app.client.resume(handle.runId);
    expect(await handle.result()).toEqual([]);
    expect(log).toEqual(['over', 'over']);
  });

  it('waits for the same wake time after it is resumed', async () => {
    const handle = await app.client.start(Waiting, { ms: 3_600_000 });
    await reaches(handle.runId, 'waiting');
    const { wakeAt, epoch } = await handle.describe();
    await app.client.pause(handle.runId);
    await app.client.resume(handle.runId);
    expect(await handle.describe()).toMatchObject({ status: 'waiting', wakeAt, epoch });
    await handle.cancel();
  });

  it('keeps its delay when it is paused before its start and resumed', async () => {
    const handle = await app.client.start(Waiting, {}, { delay: '1h' });
    await app.client.pause(handle.runId);
    expect(await handle.status()).toBe('paused');
    await app.client.resume(handle.runId);
    expect(await handle.describe()).toMatchObject({ status: 'waiting', startedAt: undefined });
    await app.client.pause(handle.runId);
    await handle.cancel();
    expect(await handle.status()).toBe('cancelled');
  });

  it('executes its cleanup, and begins no other body, when it is cancelled', async () => {
    const handle = await app.client.start(Chain);
    await waitFor(() => log.includes('2 done'));
    await app.client.pause(handle.runId);
    await reaches(handle.runId, 'paused');
    const before = [...log];
    await handle.cancel({ reason: 'enough' });
    await expect(handle.result()).rejects.toBeInstanceOf(WorkflowCancelledError);
    expect(log).toEqual([...before, 'tidy']);
    expect(await inbox(handle.runId)).toEqual([]);
  });

  it('executes its cleanup, and is not paused, when it is cancelled while its body still runs', async () => {
    const handle = await app.client.start(Gated);
    await waitFor(() => log.includes('first'));
    await app.client.pause(handle.runId);
    await handle.cancel();
    await expect(handle.result()).rejects.toBeInstanceOf(WorkflowCancelledError);
    expect(log).toEqual(['first', 'tidy']);
    release();
  });

  it('is paused by the next worker when its worker closes before its body ends', async () => {
    const other = await startApplication(database.url, [Gated, Waiting], {
      worker: { suspendAfter: 20, queues: ['other'], shutdownTimeout: 10 },
    });
    const handle = await app.client.start(Gated, undefined, { queue: 'other' });
    await waitFor(() => log.includes('first'));
    await app.client.pause(handle.runId);
    await other.close();
    const heir = await startApplication(database.url, [Gated, Waiting], { worker: { suspendAfter: 20, queues: ['other'] } });
    await reaches(handle.runId, 'paused');
    release();
    await app.client.resume(handle.runId);
    expect(await handle.result()).toBe('done');
    await heir.close();
  });

  it('is paused by the sweep when the notification of the request was lost', async () => {
    const running = await app.client.start(Endless);
    const waiting = await app.client.start(Waiting, { signals: 1 });
    await reaches(waiting.runId, 'waiting');
    await reaches(running.runId, 'running');
    for (const { runId } of [running, waiting]) {
      await database.query(
        `INSERT INTO durable.workflow_inbox (run_id, kind, payload, created_at) VALUES ($1, 'pause', '{}', now() - interval '10 seconds')`,
        [runId],
      );
    }
    await reaches(waiting.runId, 'paused');
    await reaches(running.runId, 'paused');
    for (const { runId } of [running, waiting]) await app.client.cancel(runId);
  });

  it('cannot be a run that has ended or is missing', async () => {
    const handle = await app.client.start(Waiting, {});
    await handle.result();
    await expect(app.client.pause(handle.runId)).rejects.toBeInstanceOf(RunEndedError);
    await expect(app.client.resume(handle.runId)).rejects.toBeInstanceOf(RunEndedError);
    await expect(app.client.pause('nobody')).rejects.toBeInstanceOf(RunNotFoundError);
    await expect(app.client.resume('nobody')).rejects.toBeInstanceOf(RunNotFoundError);
    await expect(app.client.pause(handle.runId, { actor: '' })).rejects.toMatchObject({ argument: 'options.actor' });
  });
});
