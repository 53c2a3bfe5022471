import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';

import {
  currentStep,
  defineSignal,
  InvalidInputError,
  RunNotFoundError,
  RunNotRetryableError,
  StepFailedError,
  Workflow,
  WorkflowFailedError,
  type WorkflowContext,
} from '../../src/index.js';
import { startApplication, type TestApplication } from '../support/application.js';
import { createTestDatabase, type TestDatabase } from '../support/database.js';
import { PATIENCE, waitFor } from '../support/wait.js';

const go = defineSignal<number>('go');
/** Executed bodies, in order. */
let log: string[] = [];
let broken = new Set<string>();

const body = (name: string) => (): string => {
  log.push(name);
  if (broken.has(name)) throw Object.assign(new Error(`${name} is broken`), { code: 'BROKEN' });
  return name;
};
const once = { retry: { maxAttempts: 1 } };

@Workflow({ name: 'line' })
class Line {
  async run(_input: void, ctx: WorkflowContext): Promise<unknown[]> {
    const got: unknown[] = [await ctx.step('a', body('a'))];
    try {
      got.push(await ctx.step('b', once, body('b')));
    } catch {
      got.push('without b');
    }
    got.push(await ctx.waitForSignal(go, { timeout: '1 day' }), await ctx.step('c', once, body('c')));
    got.push(await ctx.waitForSignal(go, { timeout: '1 day' }), await ctx.step('d', once, body('d')));
    if (broken.has('the end')) throw new TypeError('the end');
    return got;
  }
}

@Workflow({ name: 'leaf' })
class Leaf {
  async run(_input: void, ctx: WorkflowContext): Promise<string> {
    return ctx.step('leaf', once, body('leaf'));
  }
}

@Workflow({ name: 'stem' })
class Stem {
  async run(_input: void, ctx: WorkflowContext): Promise<string> {
    return ctx.invoke(Leaf);
  }
}

@Workflow({ name: 'lasting' })
class Lasting {
  async run(_input: void, ctx: WorkflowContext): Promise<number> {
    return ctx.waitForSignal(go);
  }
}

@Workflow({ name: 'pair' })
class Pair {
  async run(id: string, ctx: WorkflowContext): Promise<number> {
    const [got] = await Promise.all([ctx.invoke(Lasting, undefined, { id }), ctx.step('part', once, body('part'))]);
    return got;
  }
}

describe('a retry', () => {
  let app: TestApplication;
  let database: TestDatabase;
  beforeAll(async () => {
    database = await createTestDatabase();
    app = await startApplication(database.url, [Line, Leaf, Stem, Lasting, Pair], { worker: { suspendAfter: 20 } });
  });
  beforeEach(() => {
    log = [];
    broken = new Set();
  });
  afterAll(async () => {
    await app.close();
    await database.drop();
  });

  const failLine = async (...names: string[]): Promise<string> => {
    broken = new Set(names);
    const handle = await app.client.start(Line);
    await handle.signal(go, 1);
    await handle.signal(go, 2);
    await expect(handle.result()).rejects.toBeInstanceOf(WorkflowFailedError);
    broken = new Set();
    log = [];
    return handle.runId;
  };
  const events = (runId: string): Promise<{ kind: string; step_key: string | null; data: Record<string, unknown> }[]> =>
    database.query(`SELECT kind, step_key, data FROM durable.workflow_run_log WHERE run_id = $1 AND kind <> 'signal_sent' ORDER BY id`, [
      runId,
    ]);

  it('executes the failed step again, and no step before it', async () => {
    const id = await failLine('b', 'd');
    await app.client.retry(id, { actor: 'ann', reason: 'mended' });
    expect(await app.client.getHandle(id).result()).toEqual(['a', 'without b', 1, 'c', 2, 'd']);
    expect(log).toEqual(['d']);
    expect(await app.client.describe(id)).toMatchObject({ status: 'completed', generation: 1, error: undefined });
    const [row] = await database.query('SELECT error_code, failed_step, error FROM durable.workflow_runs WHERE id = $1', [id]);
    expect(row).toEqual({ error_code: null, failed_step: null, error: null });
  });

  it('keeps the removed step in the events, with the actor and the reason', async () => {
    const id = await failLine('d');
    await app.client.retry(id, { actor: 'ann', reason: 'mended' });
    await app.client.getHandle(id).result();
    expect(await events(id)).toEqual([
      {
        kind: 'step_archived',
        step_key: 'd',
        data: expect.objectContaining({ generation: 0, status: 'failed', error: expect.objectContaining({ name: 'StepFailedError' }) }),
      },
      { kind: 'run_failed', step_key: null, data: expect.objectContaining({ name: 'StepFailedError' }) },
      { kind: 'retried', step_key: 'd', data: { actor: 'ann', reason: 'mended' } },
    ]);
    const { entries } = await app.client.history(id);
    const ends = entries.filter(({ kind }) => ['run_failed', 'retried', 'run_completed'].includes(kind));
    expect(ends.map(({ kind, attempt, error }) => [kind, attempt, error instanceof Error])).toEqual([
      ['run_failed', 0, true],
      ['retried', 1, false],
      ['run_completed', undefined, false],
    ]);
  });

  it('continues after the last step of a run that failed outside of steps', async () => {
    const id = await failLine('the end');
    await app.client.retry(id);
    expect(await app.client.getHandle(id).result()).toEqual(['a', 'b', 1, 'c', 2, 'd']);
    expect(log).toEqual([]);
  });

  it('returns the signals taken since an earlier step, in their order, when it begins from that step', async () => {
    const id = await failLine('d');
    await app.client.retry(id, { fromStep: 'signal:go' });
    expect(await app.client.getHandle(id).result()).toEqual(['a', 'b', 1, 'c', 2, 'd']);
    expect(log).toEqual(['c', 'd']);
    const steps = await app.client.steps(id);
    expect(steps.map(({ stepKey, seq }) => `${seq} ${stepKey}`)).toEqual(['1 a', '2 b', '3 signal:go', '4 c', '5 signal:go#2', '6 d']);
  });

  it('gives the run its full timeout again, no matter how late it comes or how often', async () => {
    broken = new Set(['leaf']);
    const handle = await app.client.start(Leaf, undefined, { timeout: '1h' });
    await expect(handle.result()).rejects.toBeInstanceOf(WorkflowFailedError);
    for (let again = 0; again < 2; again++) {
      await database.query(`UPDATE durable.workflow_runs SET created_at = created_at - interval '1 day' WHERE id = $1`, [handle.runId]);
      await app.client.retry(handle.runId);
      await expect(handle.result()).rejects.toBeInstanceOf(WorkflowFailedError);
      const { deadline } = await handle.describe();
      const left = deadline!.getTime() - Date.now();
      expect(left).toBeLessThanOrEqual(3_600_000 + 5_000 * PATIENCE);
      expect(left).toBeGreaterThan(3_600_000 - 60_000);
    }
    const fork = await app.client.fork(handle.runId);
    expect((await fork.describe()).deadline!.getTime() - Date.now()).toBeLessThanOrEqual(3_600_000 + 5_000 * PATIENCE);
    await expect(fork.result()).rejects.toBeInstanceOf(WorkflowFailedError);
  });

  it.each(['before', 'after'])(
    'waits again for the child that the failed run had started, which ends %s the retry, and starts no other child',
    async (when) => {
      broken = new Set(['part']);
      const child = `child that ends ${when}`;
      const handle = await app.client.start(Pair, child);
      await expect(handle.result()).rejects.toBeInstanceOf(WorkflowFailedError);
      expect((await handle.describe()).waits).toEqual([]);
      broken = new Set();
      const finish = async (): Promise<void> => {
        await app.client.signal(child, go, 7);
        await app.client.getHandle(child).result();
      };
      if (when === 'before') await finish();
      await app.client.retry(handle.runId);
      if (when === 'after') {
        await waitFor(async () => (await handle.status()) === 'waiting');
        await finish();
      }
      expect(await handle.result()).toBe(7);
      expect((await handle.describe()).children).toHaveLength(1);
    },
  );

  it('may fail, and is then repeated', async () => {
    const id = await failLine('c');
    broken = new Set(['c']);
    await app.client.retry(id);
    await expect(app.client.getHandle(id).result()).rejects.toBeInstanceOf(WorkflowFailedError);
    broken = new Set();
    await app.client.retry(id);
    expect(await app.client.getHandle(id).result()).toEqual(['a', 'b', 1, 'c', 2, 'd']);
    expect(await app.client.describe(id)).toMatchObject({ generation: 2 });
  });

  it('succeeds for one of two concurrent callers', async () => {
    const id = await failLine('d');
    const both = await Promise.allSettled([app.client.retry(id), app.client.retry(id)]);
    expect(both.map(({ status }) => status).sort()).toEqual(['fulfilled', 'rejected']);
    await app.client.getHandle(id).result();
    expect(log).toEqual(['d']);
  });

  it('starts a new child for a failed one, and ignores the end of the failed one', async () => {
    broken = new Set(['leaf']);
    const handle = await app.client.start(Stem);
    await expect(handle.result()).rejects.toBeInstanceOf(WorkflowFailedError);
    broken = new Set();
    const children = (): Promise<{ id: string; status: string }[]> =>
      database.query('SELECT id, status FROM durable.workflow_runs WHERE parent_run_id = $1 ORDER BY created_at', [handle.runId]);
    const [first] = await children();
    await app.client.retry(handle.runId);
    expect(await handle.result()).toBe('leaf');
    expect((await children()).map(({ status }) => status)).toEqual(['failed', 'completed']);
    // The parent has used the failure, so it receives no further message of that child.
    await app.client.retry(first!.id);
    expect(await app.client.getHandle(first!.id).result()).toBe('leaf');
    const told = await database.query(`SELECT * FROM durable.workflow_inbox WHERE run_id = $1`, [handle.runId]);
    expect(told).toEqual([]);
  });

  it('is refused for runs that have not failed, for steps that are not recorded, and for missing runs', async () => {
    const done = await app.client.start(Leaf);
    await done.result();
    await expect(app.client.retry(done.runId)).rejects.toMatchObject({ code: 'RUN_NOT_RETRYABLE', status: 'completed' });
    const waiting = await app.client.start(Line);
    await waitFor(async () => (await waiting.status()) === 'waiting');
    await expect(app.client.retry(waiting.runId)).rejects.toBeInstanceOf(RunNotRetryableError);
    await waiting.cancel();
    await expect(waiting.result()).rejects.toThrow('cancelled');
    await expect(app.client.retry(waiting.runId)).rejects.toMatchObject({ status: 'cancelled' });
    const id = await failLine('d');
    await expect(app.client.retry(id, { fromStep: 'x' })).rejects.toMatchObject({ argument: 'options.fromStep' });
    await expect(app.client.retry(id, { fromSteps: 'a' } as never)).rejects.toBeInstanceOf(InvalidInputError);
    await expect(app.client.retry('nobody')).rejects.toBeInstanceOf(RunNotFoundError);
    expect(await app.client.status(id)).toBe('failed');
  });
});

@Workflow({ name: 'flaky' })
class Flaky {
  async run(_input: void, ctx: WorkflowContext): Promise<unknown> {
    const first = await ctx.step('first', () => 'first');
    try {
      return [
        first,
        await ctx.step('charge', { retry: { maxAttempts: 5, initialInterval: '1h' } }, body('charge')),
        await ctx.step('last', body('last')),
      ];
    } catch (error) {
      if (!(error instanceof StepFailedError)) throw error;
      return [first, (error.cause as Error).message];
    }
  }
}

@Workflow({ name: 'slow' })
class Slow {
  async run(_input: void, ctx: WorkflowContext): Promise<unknown> {
    const got = await ctx.step('endless', () => {
      const { abortSignal } = currentStep();
      log.push('endless');
      return new Promise((_, reject) => abortSignal.addEventListener('abort', () => reject(abortSignal.reason)));
    });
    return [got, await ctx.step('next', once, body('next'))];
  }
}

describe('a step that an operator resolves', () => {
  let app: TestApplication;
  let database: TestDatabase;
  beforeAll(async () => {
    database = await createTestDatabase();
    app = await startApplication(database.url, [Line, Flaky, Slow], { worker: { suspendAfter: 20 } });
  });
  beforeEach(() => {
    log = [];
    broken = new Set();
  });
  afterAll(async () => {
    await app.close();
    await database.drop();
  });

  it('returns the given output while it waits for its next attempt', async () => {
    broken = new Set(['charge']);
    const handle = await app.client.start(Flaky);
    await waitFor(async () => (await handle.status()) === 'waiting');
    await app.client.resolveStep(handle.runId, 'charge', { output: { id: 7 } }, { actor: 'ann' });
    expect(await handle.result()).toEqual(['first', { id: 7 }, 'last']);
    expect(log).toEqual(['charge', 'last']);
    expect(await database.query('SELECT * FROM durable.workflow_waits WHERE run_id = $1', [handle.runId])).toEqual([]);
    const kinds = await database.query('SELECT kind, step_key, data FROM durable.workflow_run_log WHERE run_id = $1 ORDER BY id', [
      handle.runId,
    ]);
    expect(kinds.at(-1)).toEqual({ kind: 'step_resolved', step_key: 'charge', data: { actor: 'ann' } });
  });

  it('fails without another attempt when the given result is an error', async () => {
    broken = new Set(['charge']);
    const handle = await app.client.start(Flaky);
    await waitFor(async () => (await handle.status()) === 'waiting');
    await app.client.resolveStep(handle.runId, 'charge', { error: new Error('we gave up') });
    expect(await handle.result()).toEqual(['first', 'we gave up']);
  });

  it('is aborted when its body is running', async () => {
    const handle = await app.client.start(Slow);
    await waitFor(() => log.includes('endless'));
    await app.client.resolveStep(handle.runId, 'endless', { output: undefined });
    expect(await handle.result()).toEqual([undefined, 'next']);
  });

  it('returns the given output at its first call when the run has not called it yet', async () => {
    const handle = await app.client.start(Slow);
    await waitFor(() => log.includes('endless'));
    await app.client.resolveStep(handle.runId, 'next', { output: 'not executed' });
    await app.client.resolveStep(handle.runId, 'endless', { output: 1 });
    expect(await handle.result()).toEqual([1, 'not executed']);
    expect(log).toEqual(['endless']);
    expect(await database.query('SELECT * FROM durable.workflow_inbox WHERE run_id = $1', [handle.runId])).toEqual([]);
  });

  it('returns the given output when it waits for a signal', async () => {
    const handle = await app.client.start(Line);
    await waitFor(async () => (await handle.status()) === 'waiting');
    await app.client.resolveStep(handle.runId, 'signal:go', { output: 8 });
    await handle.signal(go, 9);
    expect(await handle.result()).toEqual(['a', 'b', 8, 'c', 9, 'd']);
  });

  it('lets a failed run continue from that step', async () => {
    broken = new Set(['c']);
    const handle = await app.client.start(Line);
    await handle.signal(go, 1);
    await expect(handle.result()).rejects.toBeInstanceOf(WorkflowFailedError);
    await app.client.resolveStep(handle.runId, 'c', { output: 'by hand' }, { reason: 'done by hand' });
    await handle.signal(go, 2);
    expect(await handle.result()).toEqual(['a', 'b', 1, 'by hand', 2, 'd']);
    expect(log).toEqual(['a', 'b', 'c', 'd']);
    expect(await app.client.describe(handle.runId)).toMatchObject({ generation: 1, status: 'completed' });
  });

  it('is refused when the step has ended or its run has ended or is missing', async () => {
    const handle = await app.client.start(Line);
    await waitFor(async () => (await handle.status()) === 'waiting');
    await expect(app.client.resolveStep(handle.runId, 'a', { output: 1 })).rejects.toMatchObject({ argument: 'stepKey' });
    await expect(app.client.resolveStep(handle.runId, '$cancel', { output: 1 })).rejects.toMatchObject({ argument: 'stepKey' });
    await expect(app.client.resolveStep(handle.runId, 'x', {} as never)).rejects.toMatchObject({ argument: 'result' });
    await expect(app.client.resolveStep('nobody', 'x', { output: 1 })).rejects.toBeInstanceOf(RunNotFoundError);
    await handle.cancel();
    await expect(handle.result()).rejects.toThrow('cancelled');
    await expect(app.client.resolveStep(handle.runId, 'x', { output: 1 })).rejects.toMatchObject({ code: 'RUN_ENDED' });
  });
});
