import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { DataSource } from 'typeorm';

import {
  defineSignal,
  getWorkflowRepositoryToken,
  InvalidInputError,
  Workflow,
  WorkflowHistoryEntry,
  type HistoryEntry,
  type WorkflowContext,
} from '../../src/index.js';
import type { Repository } from 'typeorm';
import { startApplication, type TestApplication } from '../support/application.js';
import { createTestDatabase, type TestDatabase } from '../support/database.js';
import { waitFor } from '../support/wait.js';

const approved = defineSignal<{ by: string }>('approved');

@Workflow({ name: 'grandchild' })
class Grandchild {
  async run(n: number, ctx: WorkflowContext): Promise<number> {
    return ctx.step('double', () => n * 2);
  }
}

@Workflow({ name: 'eventful' })
class Eventful {
  async run(_input: void, ctx: WorkflowContext): Promise<never> {
    let tries = 0;
    await ctx.step('flaky', { retry: { initialInterval: 1, jitter: false } }, () => {
      if (++tries < 2) throw new RangeError('not yet');
      return tries;
    });
    if (ctx.patched('a change')) ctx.setState('phase', 'waiting');
    const { by } = await ctx.waitForSignal(approved);
    const hook = await ctx.hook<string>({ token: `a-token-${ctx.runId}` });
    await hook.wait();
    await ctx.invoke(Grandchild, by.length);
    await ctx.sleep(10);
    return ctx.continueAsNew(Waiting);
  }
}

@Workflow({ name: 'waiting' })
class Waiting {
  async run(_input: void, ctx: WorkflowContext): Promise<void> {
    await ctx.waitForSignal(approved, { timeout: '1 hour' });
  }
}

@Workflow({ name: 'stepping' })
class Stepping {
  async run(steps: number, ctx: WorkflowContext): Promise<void> {
    await Promise.all(Array.from({ length: steps }, (_, index) => ctx.step('each', { key: String(index) }, () => index)));
  }
}

let isDeclined = true;

@Workflow({ name: 'hooked' })
class Hooked {
  async run(_input: void, ctx: WorkflowContext): Promise<unknown> {
    await ctx.hook();
    await ctx.hook();
    await ctx.step('charge', { retry: { maxAttempts: 1 } }, () => {
      if (isDeclined) throw new Error('declined');
    });
    return ctx.step('hook', { key: 'own' }, () => ({ token: 'of a step with another key' }));
  }
}

describe('the history of a run', () => {
  let app: TestApplication;
  let database: TestDatabase;
  beforeAll(async () => {
    database = await createTestDatabase();
    app = await startApplication(database.url, [Eventful, Waiting, Stepping, Grandchild, Hooked], { worker: { suspendAfter: 30 } });
  });
  afterAll(async () => {
    await app.close();
    await database.drop();
  });

  const isWaiting = (id: string) => waitFor(async () => (await app.client.status(id)) === 'waiting', { message: `${id} to wait` });
  const kindsOf = (entries: readonly HistoryEntry[]): string[] =>
    entries.map(({ kind, stepKey }) => [kind, stepKey].filter(Boolean).join(' '));
  const live = async (): Promise<string> => {
    const handle = await app.client.start(Eventful);
    const { runId } = handle;
    await isWaiting(runId);
    await handle.signal(approved, { by: 'ann' }, { idempotencyKey: 'once' });
    await waitFor(async () => (await app.client.describe(runId)).waits.some(({ kind }) => kind === 'hook'));
    await app.client.resumeHook(`a-token-${runId}`, 'paid');
    await waitFor(async () => (await app.client.status(runId, { follow: false })) === 'continued');
    return runId;
  };

  it('lists everything that happened in order', async () => {
    const runId = await live();
    const { entries, cursor } = await app.client.history(runId, { follow: false });
    expect(cursor).toBeUndefined();
    expect(kindsOf(entries)).toEqual([
      'run_created',
      'run_started',
      'attempt_failed flaky',
      'step_completed flaky',
      'patched $patch:a change',
      'signal_sent',
      'signal_completed signal:approved',
      'hook_created hook',
      'hook_resumed hook',
      'hook_completed hook.wait',
      'child_started invoke:grandchild',
      'child_completed invoke:grandchild',
      'sleep_completed sleep',
      'continued_as_new',
    ]);
    const of = (kind: string): HistoryEntry => entries.find((entry) => entry.kind === kind)!;
    expect(of('run_created').data).toMatchObject({ workflow: 'eventful', version: 1 });
    expect(of('attempt_failed')).toMatchObject({ attempt: 1, error: { name: 'RangeError', message: 'not yet' } });
    expect(of('signal_sent').name).toBe('approved');
    expect(of('signal_completed').output).toEqual({ by: 'ann' });
    expect(of('hook_resumed').name).toBe('hook');
    expect(of('child_completed').output).toBe(6);
    const { children, continuedAs, state, waits } = await app.client.describe(runId, { follow: false });
    expect({ state, waits }).toEqual({ state: { phase: 'waiting' }, waits: [] });
    expect(of('child_started').name).toBe(children[0]!.runId);
    expect(of('continued_as_new').name).toBe(continuedAs);
    const times = entries.map(({ at }) => at.getTime());
    expect(times).toEqual(times.toSorted((a, b) => a - b));
    expect(JSON.stringify(entries)).not.toContain(`a-token-${runId}`);
  });

  it('shows no token of a hook, even after a fork, after a retry and after another run has taken the token', async () => {
    const source = await app.client.start(Hooked);
    await source.result().catch(() => undefined);
    isDeclined = false;
    const tokens = await database.query<{ token: string }>('SELECT token FROM durable.workflow_hooks WHERE run_id = $1', [source.runId]);
    expect(tokens).toHaveLength(2);
    const fork = await app.client.fork(source.runId, { fromStep: 'charge' });
    await fork.result();
    await app.client.retry(source.runId, { fromStep: 'hook#2' });
    await source.result();
    await database.query(`UPDATE durable.workflow_hooks SET run_id = 'another' WHERE run_id = $1`, [source.runId]);
    const shown = JSON.stringify([
      await database.query('SELECT * FROM durable.workflow_history WHERE run_id = ANY ($1)', [[source.runId, fork.runId]]),
      (await app.client.history(source.runId)).entries,
      (await app.client.history(fork.runId)).entries,
      await app.client.steps(source.runId),
      await app.client.steps(fork.runId),
      await app.client.describe(fork.runId),
      await database.query('SELECT data FROM durable.workflow_run_log WHERE run_id = $1', [source.runId]),
    ]);
    for (const { token } of tokens) expect(shown).not.toContain(token);
    expect(shown).toContain('of a step with another key');
    const steps = await app.client.steps(fork.runId);
    expect(steps[0]).toMatchObject({ stepKey: 'hook', output: { token: expect.stringMatching(/^.{8}$/) } });
    const archived = (await app.client.history(source.runId)).entries.filter(({ kind }) => kind === 'step_archived');
    expect(archived.map(({ stepKey }) => stepKey)).toContain('hook#2');
  });

  it('follows the run that continues it, and lists the open wait of that run', async () => {
    const { continuedAs } = await app.client.describe(await live(), { follow: false });
    await isWaiting(continuedAs!);
    const { entries } = await app.client.history(continuedAs!);
    expect(kindsOf(entries)).toEqual(['run_created', 'run_started', 'wait_open signal:approved']);
    expect(entries[2]).toMatchObject({ name: 'approved', data: { wait: 'signal', wakeAt: expect.any(Number) } });
  });

  it('contains the actor and the reason of a cancellation', async () => {
    const handle = await app.client.start(Waiting);
    await isWaiting(handle.runId);
    await handle.cancel({ actor: 'ann', reason: 'enough' });
    await handle.result().catch(() => undefined);
    const { entries } = await handle.history();
    expect(kindsOf(entries)).toEqual(['run_created', 'run_started', 'cancel_requested', 'cancellation_delivered $cancel', 'run_cancelled']);
    expect(entries[2]!.data).toEqual({ actor: 'ann', reason: 'enough' });
    expect(entries[4]!.error).toMatchObject({ name: 'WorkflowCancelledError', reason: 'enough' });
  });

  it('returns each entry once when it is read page by page', async () => {
    const handle = await app.client.start(Stepping, 120);
    await handle.result();
    const seen: string[] = [];
    let cursor: string | undefined;
    let pages = 0;
    do {
      const page = await app.client.history(handle.runId, { limit: 25, ...(cursor === undefined ? {} : { cursor }) });
      seen.push(...kindsOf(page.entries));
      cursor = page.cursor;
      pages++;
    } while (cursor !== undefined);
    expect(pages).toBe(5);
    expect(seen).toHaveLength(123);
    expect(new Set(seen).size).toBe(123);
    expect(seen.slice(2, -1)).toEqual((await handle.steps()).map(({ stepKey }) => `step_completed ${stepKey}`));
  });

  it('is a view that its TypeORM entity can query', async () => {
    const handle = await app.client.start(Stepping, 2);
    await handle.result();
    const repository = app.module.get<Repository<WorkflowHistoryEntry>>(getWorkflowRepositoryToken(WorkflowHistoryEntry));
    const rows = await repository.find({ where: { runId: handle.runId }, order: { at: 'ASC', rank: 'ASC', number: 'ASC' } });
    expect(repository.manager.connection).toBeInstanceOf(DataSource);
    expect(rows.map(({ kind }) => kind)).toEqual(['run_created', 'run_started', 'step_completed', 'step_completed', 'run_completed']);
  });

  it.each([{ limit: 0 }, { limit: 1_001 }, { limit: 1.5 }, { cursor: 'nonsense' }, { cursor: 'e30' }, { page: 2 }])(
    'refuses %j',
    async (options) => {
      await expect(app.client.history('any', options as object)).rejects.toBeInstanceOf(InvalidInputError);
    },
  );

  it('cannot be read for a missing run', async () => {
    await expect(app.client.history('nobody')).rejects.toMatchObject({ code: 'RUN_NOT_FOUND' });
  });
});
