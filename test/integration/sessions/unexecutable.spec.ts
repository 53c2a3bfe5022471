import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';

import {
  defineSignal,
  RunEndedError,
  RunNotFoundError,
  Workflow,
  WorkflowFailedError,
  WorkflowTerminatedError,
  WorkflowTimeoutError,
  type WorkflowContext,
} from '../../../src/index.js';
import { closeApplications, startApplication, type TestApplication } from '../../support/application.js';
import { createTestDatabase, type TestDatabase } from '../../support/database.js';
import { seconds, waitFor } from '../../support/wait.js';

const go = defineSignal('go');
let cleaned = 0;
let release: (() => void) | undefined;

@Workflow({ name: 'changing' })
class Changing {
  async run(_input: void, ctx: WorkflowContext): Promise<string> {
    try {
      await ctx.step('first', () => 1);
      await ctx.hook({ token: `the hook of run ${ctx.runId}` });
      await ctx.waitForSignal(go);
      return 'done';
    } finally {
      cleaned++;
    }
  }
}

/** A workflow of the same name whose code does not fit the history. */
@Workflow({ name: 'changing' })
class Changed {
  async run(_input: void, ctx: WorkflowContext): Promise<string> {
    await ctx.step('another', () => 1);
    await ctx.waitForSignal(go);
    return 'done';
  }
}

@Workflow({ name: 'parent' })
class Parent {
  async run(_input: void, ctx: WorkflowContext): Promise<unknown> {
    return ctx.invoke(Changing).catch((error: Error) => [error.name, error.message]);
  }
}

@Workflow({ name: 'hanging' })
class Hanging {
  run(_input: void, ctx: WorkflowContext): Promise<string> {
    return ctx.step('hangs', () => new Promise<string>((resolve) => (release = () => resolve('late'))));
  }
}

const worker = { suspendAfter: 0, onMismatch: 'block' } as const;

describe('a run that nobody can execute', () => {
  let database: TestDatabase;
  beforeAll(async () => {
    database = await createTestDatabase();
  });
  afterEach(closeApplications);
  afterAll(() => database.drop());

  const isWaiting = (app: TestApplication, id: string): Promise<unknown> =>
    waitFor(async () => (await app.client.describe(id)).waits.length > 0 && (await app.client.status(id)) === 'waiting');

  /** Makes a run that the returned application cannot continue. */
  const block = async (id: string, options: { timeout?: number } = {}): Promise<TestApplication> => {
    const first = await startApplication(database.url, [Changing, Parent], { worker, deploymentId: `${id} 1` });
    await first.client.start(Changing, undefined, { id, ...options });
    await isWaiting(first, id);
    await first.close();
    const second = await startApplication(database.url, [Changed, Parent], { worker, deploymentId: `${id} 2` });
    await second.client.signal(id, go);
    await waitFor(async () => (await second.client.describe(id)).blockedDeployments.length > 0);
    return second;
  };

  it('shows as blocked in listings and counts, and can be terminated', async () => {
    const { client } = await block('blocked');
    expect((await client.list({ blocked: true })).runs.map(({ runId, blocked }) => [runId, blocked])).toEqual([['blocked', true]]);
    expect(await client.count({ blocked: true })).toBe(1);
    expect(await client.count({ blocked: false })).toBe(0);
    const { waitingFor, blocked, blockedDeployments } = await client.describe('blocked');
    expect(blocked).toMatchObject({ deployments: blockedDeployments, reason: { code: 'NON_DETERMINISM' } });
    expect(blocked!.since).toBeInstanceOf(Date);
    expect(waitingFor[0]).toMatchObject({ kind: 'deployment', name: 'blocked 2', since: blocked!.since });
    expect((await client.health()).blocked).toEqual([
      { queue: 'default', name: 'changing', version: 1, blocked: 1, exampleRunId: 'blocked' },
    ]);
    const late: unknown = await client
      .getHandle('blocked')
      .result({ timeout: 50 })
      .catch((thrown: unknown) => thrown);
    expect(late).toMatchObject({ code: 'RESULT_TIMEOUT', status: 'blocked' });
    expect((late as Error).message).toContain('for another deployment: the code of deployment "blocked 2" does not fit');
    const result = client.getHandle('blocked').result({ timeout: seconds(45) });
    await client.terminate('blocked', { actor: 'ann', reason: 'never again' });
    const error: unknown = await result.catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(WorkflowTerminatedError);
    expect(error).toMatchObject({ code: 'TERMINATED', runId: 'blocked', reason: 'never again' });
    expect(await client.describe('blocked')).toMatchObject({ status: 'cancelled', waits: [] });
    expect(await client.count({ blocked: true })).toBe(0);
    const { entries } = await client.history('blocked');
    expect(entries.find(({ kind }) => kind === 'terminated')?.data).toEqual({ actor: 'ann', reason: 'never again' });
    await expect(client.terminate('blocked')).rejects.toThrow(RunEndedError);
    await expect(client.terminate('nobody')).rejects.toThrow(RunNotFoundError);
    await expect(client.resumeHook('the hook of run blocked', 1)).rejects.toThrow(RunEndedError);
    expect(cleaned).toBe(0);
  });

  it('is terminated by a bulk terminate, and skipped by a bulk cancel', async () => {
    const { client } = await block('bulk');
    const end = async (kind: 'cancel' | 'terminate'): Promise<unknown> => {
      const { count, token } = await client.bulk[kind]({ filter: { blocked: true }, dryRun: true });
      expect(count).toBe(1);
      await client.bulk[kind]({ token });
      return waitFor(async () => {
        const status = await client.bulk.status(token);
        return status.state === 'completed' && status;
      });
    };
    expect(await end('cancel')).toMatchObject({ done: 0, skipped: 1 });
    expect(await client.status('bulk')).toBe('waiting');
    expect(await end('terminate')).toMatchObject({ kind: 'terminate', done: 1, skipped: 0 });
    await expect(client.getHandle('bulk').result({ timeout: seconds(45) })).rejects.toThrow(WorkflowTerminatedError);
  });

  it('fails at its timeout although it is blocked', async () => {
    const { client } = await block('overdue', { timeout: 3_000 });
    const error: unknown = await client
      .getHandle('overdue')
      .result({ timeout: seconds(40) })
      .catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(WorkflowFailedError);
    expect((error as Error).cause).toBeInstanceOf(WorkflowTimeoutError);
    expect(await client.describe('overdue')).toMatchObject({ status: 'failed' });
    expect((await client.list({ errorCode: 'WORKFLOW_TIMEOUT' })).runs.map(({ runId }) => runId)).toContain('overdue');
  });

  it('fails at its timeout although nobody has ever claimed it', async () => {
    const { client } = await startApplication(database.url, [Parent], { worker });
    await client.start('nobody has this', undefined, { id: 'unknown', timeout: '100ms' });
    await client.start(Parent, undefined, { id: 'unserved', queue: 'nobody serves it', timeout: '100ms' });
    for (const id of ['unknown', 'unserved']) {
      const error: unknown = await client
        .getHandle(id)
        .result({ timeout: seconds(40) })
        .catch((thrown: unknown) => thrown);
      expect((error as Error).cause).toBeInstanceOf(WorkflowTimeoutError);
    }
  });

  it('is explained by a result timeout: nobody executes the run, or what the run waits for', async () => {
    const { client } = await startApplication(database.url, [Changing, Parent], { worker });
    const message = async (work: Promise<unknown>): Promise<string> =>
      work.then(
        () => 'no error',
        (error: Error) => error.message,
      );
    const typo = await message(client.execute('chnaging', undefined, { id: 'typo', resultTimeout: 50 }));
    expect(typo).toContain(
      'It is pending, and waits for a process that executes "chnaging" in queue "default": no live worker executes it; the name resembles "changing"',
    );
    const queue = await message(client.execute(Changing, undefined, { queue: 'typo', resultTimeout: 50 }));
    expect(queue).toContain('"changing" version 1 in queue "typo": no live worker executes it');
    await client.start(Changing, undefined, { id: 'waits' });
    await waitFor(async () => (await client.status('waits')) === 'waiting');
    expect(await message(client.getHandle('waits').result({ timeout: 50 }))).toContain('It is waiting, and waits for signal "go"');
    expect((await client.describe('waits')).waitingFor).toMatchObject([
      { kind: 'signal', name: 'go', since: expect.any(Date), until: undefined },
    ]);
    await client.pause('waits');
    expect(await message(client.getHandle('waits').result({ timeout: 50 }))).toContain('It is paused, and waits for somebody to resume it');
    const { unregistered } = await client.health();
    expect(unregistered.map(({ name, queue: where }) => [name, where])).toEqual(
      expect.arrayContaining([
        ['chnaging', 'default'],
        ['changing', 'typo'],
      ]),
    );
    for (const id of ['typo', 'waits']) await client.terminate(id);
  });

  it('does not count as served by a dead worker whose session is still recorded', async () => {
    const { client } = await startApplication(database.url, [Changing], { worker: false });
    await client.start(Changing, undefined, { id: 'left' });
    const serve = (name: string, expires: string): Promise<unknown> =>
      database.query(
        `INSERT INTO durable.workflow_sessions (kind, host, pid, deployment_id, expires_at, holds_lock, serves)
         VALUES ('worker', 'gone', 1, 'old', now() + $2::interval, false, ARRAY[E'default\\n' || $1 || E'\\n1'])`,
        [name, expires],
      );
    const text = async (): Promise<string | undefined> => (await client.describe('left')).waitingFor[0]?.text;
    await serve('changing', '-1 hour');
    expect(await text()).toBe('for a process that executes "changing" version 1 in queue "default": no worker is alive');
    await serve('changin', '1 hour');
    expect(await text()).toContain('no live worker executes it; the name resembles "changin"');
    await serve('changing', '1 hour');
    expect(await text()).toBe('for a free slot of a worker that executes "changing" version 1 in queue "default"');
    await database.query(`DELETE FROM durable.workflow_sessions WHERE host = 'gone'`);
    await client.terminate('left');
  });

  it('gives its waiting parent a WorkflowTerminatedError when it is terminated', async () => {
    const { client, close } = await startApplication(database.url, [Changing, Parent], { worker });
    await client.start(Parent, undefined, { id: 'parent' });
    const child = await waitFor(async () => (await client.describe('parent')).children[0]?.runId);
    await waitFor(async () => (await client.status(child)) === 'waiting');
    await client.terminate(child, { reason: 'enough' });
    await expect(client.getHandle('parent').result({ timeout: seconds(45) })).resolves.toEqual([
      'WorkflowTerminatedError',
      `Run "${child}" was terminated: enough`,
    ]);
    await close();
  });

  it('is terminated while its body hangs, and the body records nothing', async () => {
    const { client } = await startApplication(database.url, [Hanging, Parent], { worker });
    await client.start(Hanging, undefined, { id: 'hangs' });
    await waitFor(() => release);
    await client.terminate('hangs');
    await expect(client.getHandle('hangs').result({ timeout: seconds(45) })).rejects.toThrow(WorkflowTerminatedError);
    release!();
    await client.execute(Hanging, undefined, { resultTimeout: 500 }).catch(() => release!());
    expect(await client.steps('hangs')).toEqual([]);
    expect(await client.status('hangs')).toBe('cancelled');
  });
});
