import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';

import {
  ClosedError,
  InvalidInputError,
  ResultTimeoutError,
  RunAlreadyExistsError,
  RunNotFoundError,
  Workflow,
  type WorkflowContext,
} from '../../../src/index.js';
import { closeApplications, startApplication } from '../../support/application.js';
import { createTestDatabase, type TestDatabase } from '../../support/database.js';
import { PATIENCE, seconds } from '../../support/wait.js';

const executions: string[] = [];

@Workflow({ name: 'greet' })
class GreetWorkflow {
  async run(name: string, ctx: WorkflowContext): Promise<string> {
    return ctx.step('greet', () => {
      executions.push(ctx.runId);
      return `hello ${name}`;
    });
  }
}

@Workflow({ name: 'other' })
class OtherWorkflow {
  async run(_input: void, ctx: WorkflowContext): Promise<void> {
    await ctx.sleep('1h');
  }
}

describe('the client', () => {
  let database: TestDatabase;
  beforeAll(async () => {
    database = await createTestDatabase();
  });
  afterEach(closeApplications);
  afterAll(() => database.drop());

  const boot = async () => (await startApplication(database.url, [GreetWorkflow, OtherWorkflow])).client;

  it('generates run ids that sort by time', async () => {
    const client = await boot();
    const handles = [await client.start(GreetWorkflow, 'a'), await client.start(GreetWorkflow, 'b')];
    for (const handle of handles) {
      expect(handle.created).toBe(true);
      expect(handle.runId).toMatch(/^[0-9A-HJKMNP-TV-Z]{26}$/);
    }
    expect(handles[0]!.runId < handles[1]!.runId).toBe(true);
  });

  it('starts a run once under an id, and returns the same run afterwards', async () => {
    const client = await boot();
    const first = await client.start(GreetWorkflow, 'Ada', { id: 'own' });
    const second = await client.start(GreetWorkflow, 'somebody else', { id: 'own' });
    expect([first.created, second.created]).toEqual([true, false]);
    await expect(second.result()).resolves.toBe('hello Ada');
    const third = await client.start(GreetWorkflow, 'somebody else', { id: 'own' });
    expect(third.created).toBe(false);
    await expect(third.result()).resolves.toBe('hello Ada');
    expect(executions.filter((id) => id === 'own')).toHaveLength(1);
  });

  it('creates one run when an id is started many times concurrently', async () => {
    const client = await boot();
    const starts = Array.from({ length: 20 }, (_, index) => client.start(GreetWorkflow, `${index}`, { id: 'race' }));
    const handles = await Promise.all(starts);
    expect(handles.filter(({ created }) => created)).toHaveLength(1);
    const results = await Promise.all(handles.map((handle) => handle.result()));
    expect(new Set(results).size).toBe(1);
    expect(executions.filter((id) => id === 'race')).toHaveLength(1);
  });

  it('creates one run with the tags of one start when an id is started twice concurrently', async () => {
    const client = await boot();
    const handles = await Promise.all([
      client.start(GreetWorkflow, 'a', { id: 'tagged twice', tags: { who: 'a', a: '1' } }),
      client.start(GreetWorkflow, 'b', { id: 'tagged twice', tags: { who: 'b', b: '1' } }),
    ]);
    const winner = handles[0].created ? 'a' : 'b';
    expect(handles.filter(({ created }) => created)).toHaveLength(1);
    await expect(handles[0].describe()).resolves.toMatchObject({ tags: { who: winner, [winner]: '1' } });
    expect(await database.query(`SELECT * FROM durable.workflow_tags WHERE run_id = 'tagged twice'`)).toHaveLength(2);
  });

  it('refuses an id that belongs to a run of another workflow', async () => {
    const client = await boot();
    await client.start(OtherWorkflow, undefined, { id: 'theirs' });
    const error = await client.start(GreetWorkflow, 'a', { id: 'theirs' }).catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(RunAlreadyExistsError);
    expect(error).toMatchObject({ runId: 'theirs', workflowName: 'other', code: 'RUN_ALREADY_EXISTS' });
  });

  it("refuses an id that is taken with onConflict 'reject'", async () => {
    const client = await boot();
    await client.start(GreetWorkflow, 'a', { id: 'strict', onConflict: 'reject' });
    await expect(client.start(GreetWorkflow, 'a', { id: 'strict', onConflict: 'reject' })).rejects.toBeInstanceOf(RunAlreadyExistsError);
    await expect(client.start(GreetWorkflow, 'a', { id: 'strict', onConflict: 'return' })).resolves.toMatchObject({ created: false });
  });

  it.each(['quote\'s "and" \\ ; --', '__proto__', 'constructor', 'ünïcödé 😀', 'x'.repeat(255), '../../etc', '%00', '${id}'])(
    'accepts %j as an id',
    async (id) => {
      const client = await boot();
      const handle = await client.start(GreetWorkflow, id, { id, tags: { [id]: id } });
      expect(handle.runId).toBe(id);
      await expect(handle.result()).resolves.toBe(`hello ${id}`);
      const description = await client.describe(id);
      expect(description.runId).toBe(id);
      expect(Object.entries(description.tags)).toEqual([[id, id]]);
      expect(await client.steps(id)).toHaveLength(1);
    },
  );

  it('starts many runs, in the order of their inputs', async () => {
    const client = await boot();
    const names = Array.from({ length: 300 }, (_, index) => `${index}`);
    const handles = await client.startMany(GreetWorkflow, names, (name) => ({ id: `many-${name}`, tags: { name } }));
    expect(handles.map(({ runId }) => runId)).toEqual(names.map((name) => `many-${name}`));
    await expect(Promise.all(handles.map((handle) => handle.result()))).resolves.toEqual(names.map((name) => `hello ${name}`));
    await expect(client.startMany(GreetWorkflow, [])).resolves.toEqual([]);
    const again = await client.startMany(GreetWorkflow, ['1', 'new'], (name) => ({ id: `many-${name}` }));
    expect(again.map(({ created }) => created)).toEqual([false, true]);
  });

  it('starts none of many runs when one input cannot be stored', async () => {
    const client = await boot();
    const inputs = ['fine', (() => 1) as never];
    await expect(client.startMany(GreetWorkflow, inputs, (_, index) => ({ id: `none-${index}` }))).rejects.toMatchObject({
      code: 'SERIALIZATION',
    });
    await expect(client.status('none-0')).rejects.toBeInstanceOf(RunNotFoundError);
  });

  it('starts a run and returns its result with execute', async () => {
    const client = await boot();
    await expect(client.execute(GreetWorkflow, 'Ada')).resolves.toBe('hello Ada');
    await expect(client.execute('greet', 'Ada', { id: 'executed' })).resolves.toBe('hello Ada');
    await expect(client.execute(GreetWorkflow, 'Bob', { id: 'executed' })).resolves.toBe('hello Ada');
  });

  it('refuses execute with a manager, because the call would wait for its own commit', async () => {
    const client = await boot();
    const error = await client.execute(GreetWorkflow, 'a', { manager: {} } as never).catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(InvalidInputError);
    expect(error).toMatchObject({ argument: 'options.manager' });
  });

  it('returns handles by class and id or by id alone, and rejects calls on unknown ids', async () => {
    const client = await boot();
    await client.execute(GreetWorkflow, 'Ada', { id: 'got' });
    await expect(client.getHandle(GreetWorkflow, 'got').result()).resolves.toBe('hello Ada');
    await expect(client.getHandle<string>('got').result()).resolves.toBe('hello Ada');
    expect(client.getHandle('got')).toMatchObject({ runId: 'got', created: false });
    const nobody = client.getHandle('nobody');
    const asked = [nobody.result(), nobody.status(), nobody.describe(), nobody.steps(), nobody.cancel()];
    for (const answer of await Promise.allSettled(asked)) {
      expect(answer).toMatchObject({ status: 'rejected', reason: { name: 'RunNotFoundError', runId: 'nobody', code: 'RUN_NOT_FOUND' } });
    }
  });

  it('describes a run with all its properties', async () => {
    const client = await boot();
    const before = Date.now();
    const handle = await client.start(GreetWorkflow, 'Ada', { priority: 3, tags: { customer: '7' } });
    await handle.result();
    const description = await handle.describe();
    expect(description).toMatchObject({
      runId: handle.runId,
      name: 'greet',
      version: 1,
      queue: 'default',
      priority: 3,
      status: 'completed',
      input: 'Ada',
      output: 'hello Ada',
      error: undefined,
      wakeAt: undefined,
      cancelRequestedAt: undefined,
      tags: { customer: '7' },
      waits: [],
      epoch: 1,
      generation: 0,
      blockedDeployments: [],
      parent: undefined,
      children: [],
      continuedAs: undefined,
      continuedFrom: undefined,
      deadline: undefined,
      state: {},
    });
    const { createdAt, startedAt, finishedAt } = description;
    expect(createdAt.getTime()).toBeGreaterThan(before - 5_000);
    expect(startedAt!.getTime()).toBeGreaterThanOrEqual(createdAt.getTime());
    expect(finishedAt!.getTime()).toBeGreaterThanOrEqual(startedAt!.getTime());
    await expect(handle.status()).resolves.toBe('completed');
  });

  it('stops waiting for a result at the timeout, and can wait again', async () => {
    const client = await boot();
    const handle = await client.start(OtherWorkflow);
    for (const timeout of [0, 30, '30ms'] as const) {
      const error = await handle.result({ timeout }).catch((thrown: unknown) => thrown);
      expect(error).toBeInstanceOf(ResultTimeoutError);
      expect(error).toMatchObject({ runId: handle.runId, timeoutMs: Number.parseInt(String(timeout), 10) });
    }
    const past = await handle.result({ timeout: new Date(0) }).catch((thrown: unknown) => thrown);
    expect(past).toMatchObject({ code: 'RESULT_TIMEOUT', timeoutMs: 0 });
    const soon = new Date(Date.now() + 50);
    const late = await handle.result({ timeout: soon }).catch((thrown: unknown) => thrown);
    expect(late).toBeInstanceOf(ResultTimeoutError);
    // The database's clock evaluates the Date, and may differ from this process's clock.
    expect((late as ResultTimeoutError).timeoutMs).toBeLessThan(1_000 * PATIENCE);
    const invalid = handle.result({ timeout: new Date(Number.NaN) });
    await expect(invalid).rejects.toMatchObject({ code: 'INVALID_INPUT', argument: 'options.timeout' });
    const waiting = handle.result({ timeout: seconds(45) });
    await handle.cancel();
    await expect(waiting).rejects.toMatchObject({ code: 'WORKFLOW_CANCELLED' });
  });

  it('refuses starts and ends all waits once it is closed', async () => {
    const { client, close } = await startApplication(database.url, [GreetWorkflow, OtherWorkflow]);
    const handle = await client.start(OtherWorkflow);
    const waiting = handle.result();
    waiting.catch(() => undefined);
    await close();
    await expect(waiting).rejects.toBeInstanceOf(ClosedError);
    await expect(client.start(GreetWorkflow, 'late')).rejects.toBeInstanceOf(ClosedError);
    await expect(handle.result()).rejects.toBeInstanceOf(ClosedError);
  });
});
