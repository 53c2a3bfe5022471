import { readFileSync } from 'node:fs';

import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';

import { defineSignal, NonRetryableError, RunNotEndedError, RunNotFoundError, Workflow, type WorkflowContext } from '../../src/index.js';
import { RUN_TABLES } from '../../src/store/sql/leftovers.js';
import { closeApplications, startApplication, type TestApplication } from '../support/application.js';
import { createTestDatabase, type TestDatabase } from '../support/database.js';
import { seconds, waitFor } from '../support/wait.js';
import { configured } from './configured.js';

const go = defineSignal<number>('go');

/** Ends at once, and leaves rows in most tables. */
@Workflow({ name: 'plain' })
class Plain {
  async run(ending: 'completes' | 'fails', ctx: WorkflowContext): Promise<string> {
    ctx.setState('ending', ending);
    const { token } = await ctx.hook();
    if (ending === 'fails') throw new NonRetryableError('as told');
    return token;
  }
}

@Workflow({ name: 'lasting', retention: { completed: '10y' } })
class Lasting {
  async run(): Promise<void> {}
}

@Workflow({ name: 'eternal', retention: false })
class Eternal {
  async run(): Promise<void> {}
}

@Workflow({ name: 'patient' })
class Patient {
  run(_input: void, ctx: WorkflowContext): Promise<number> {
    return ctx.waitForSignal(go);
  }
}

/** Has an ended child of each kind, and one that waits. */
@Workflow({ name: 'parent' })
class Parent {
  async run(_input: void, ctx: WorkflowContext): Promise<void> {
    await ctx.invoke(Plain, 'completes', { id: `${ctx.runId}/plain` });
    await ctx.invoke(Middle, undefined, { id: `${ctx.runId}/middle` });
    await ctx.invoke(Lasting, undefined, { id: `${ctx.runId}/lasting` });
    await ctx.invoke(Eternal, undefined, { id: `${ctx.runId}/eternal` });
    await ctx.start(Patient, undefined, { id: `${ctx.runId}/patient` });
  }
}

@Workflow({ name: 'middle' })
class Middle {
  async run(_input: void, ctx: WorkflowContext): Promise<void> {
    await ctx.invoke(Plain, 'completes', { id: `${ctx.runId}/deep` });
  }
}

@Workflow({ name: 'active parent' })
class ActiveParent {
  async run(_input: void, ctx: WorkflowContext): Promise<number> {
    await ctx.invoke(Plain, 'completes', { id: `${ctx.runId}/plain` });
    return ctx.waitForSignal(go);
  }
}

/** Continues as new at each signal, until the signal is 0. */
@Workflow({ name: 'chain' })
class Chain {
  async run(_input: void, ctx: WorkflowContext): Promise<number> {
    return (await ctx.waitForSignal(go)) === 0 ? 0 : ctx.continueAsNew(Chain);
  }
}

const WORKFLOWS = [Plain, Lasting, Eternal, Patient, Parent, Middle, ActiveParent, Chain];

describe('deleting ended runs', () => {
  let app: TestApplication;
  let database: TestDatabase;
  beforeAll(async () => {
    database = await createTestDatabase();
    app = await startApplication(database.url, WORKFLOWS, { ...configured(), worker: { suspendAfter: 20 } });
  });
  afterAll(async () => {
    await closeApplications();
    await database.drop();
  });

  const ended = async (id: string): Promise<void> => {
    await app.client
      .getHandle(id)
      .result({ timeout: seconds(30) })
      .catch(() => undefined);
  };
  /** Moves runs into the past, in the order of their creation. */
  const age = (minutes: number, where = 'true'): Promise<unknown[]> =>
    database.query(`UPDATE durable.workflow_runs SET created_at = created_at - interval '${minutes} min', finished_at = finished_at - interval '${minutes} min'
      WHERE ${where}`);
  const idsOf = async (): Promise<string[]> =>
    (await database.query<{ id: string }>('SELECT id FROM durable.workflow_runs')).map(({ id }) => id);
  const tablesWith = async (pattern: string): Promise<string[]> => {
    const rows = await Promise.all(
      RUN_TABLES.map((table) => database.query(`SELECT 1 FROM durable.${table} WHERE run_id LIKE $1`, [pattern])),
    );
    return RUN_TABLES.filter((_, index) => rows[index]!.length > 0);
  };
  /** Lets a chain of three runs begin. Returns the ids of the second and the last run. */
  const chain = async (id: string): Promise<[second: string, last: string]> => {
    await app.client.start(Chain, undefined, { id });
    const follow: string[] = [];
    for (let from = id; follow.length < 2; from = follow.at(-1)!) {
      await app.client.signal(id, go, 1);
      follow.push(await waitFor(async () => (await app.client.describe(from, { follow: false })).continuedAs));
    }
    return follow as [string, string];
  };

  it('retention deletes what has expired, and keeps everything else', async () => {
    const { client } = app;
    await client.start(Plain, 'completes', { id: 'old' });
    await client.start(Plain, 'completes', { id: 'old-kept', tags: { keep: 'true' } });
    await client.start(Plain, 'completes', { id: 'order-7' });
    await client.start(Plain, 'fails', { id: 'old-failed' });
    await client.start(Plain, 'fails', { id: 'very-old-failed' });
    await client.start(Lasting, undefined, { id: 'old-lasting' });
    await client.start(Eternal, undefined, { id: 'old-eternal' });
    await client.start(Patient, undefined, { id: 'old-patient' });
    await client.start(Parent, undefined, { id: 'old-parent' });
    await client.start(ActiveParent, undefined, { id: 'old-active' });
    const [second, last] = await chain('old-chain');
    const over = ['over-chain', ...(await chain('over-chain'))];
    await client.signal('over-chain', go, 0);
    for (const id of [
      'old',
      'old-kept',
      'order-7',
      'old-failed',
      'very-old-failed',
      'old-lasting',
      'old-eternal',
      'old-parent',
      'old-active/plain',
      'over-chain',
    ])
      await ended(id);
    // Workflows that this process does not have are judged by the module's rule, unless another
    // process has recorded a rule.
    await database.query(`INSERT INTO durable.workflow_runs (id, name, version, queue, status, created_at, finished_at, start_nonce, input)
      SELECT name, name, 1, 'default', 'completed', now(), now(), 1, '{}' FROM unnest('{old-foreign,old-recorded}'::text[]) AS name`);
    await database.query(`INSERT INTO durable.workflow_retention AS t (workflows) VALUES ('{"old-recorded\\n1":{"completed":86400000}}')
      ON CONFLICT (id) DO UPDATE SET workflows = t.workflows || excluded.workflows`);
    await database.query(/INSERT INTO durable\.workflow_tags .*;/.exec(readFileSync('docs/operations.md', 'utf8'))![0]);
    await age(2);
    await age(9, `id LIKE 'very-old%'`);
    const retention = { completed: '1m', failed: '10m' } as const;
    const expected = await client.retention.preview(retention);
    const before = await idsOf();
    // An application of its own deletes: otherwise a sweep could run between the lines above.
    await startApplication(database.url, WORKFLOWS, { ...configured(), worker: { suspendAfter: 20 }, retention });

    const gone = [
      'old',
      'old-foreign',
      'very-old-failed',
      'old-parent',
      'old-parent/plain',
      'old-parent/middle',
      'old-parent/middle/deep',
      second,
      ...over,
    ];
    // The first application keeps runs for ten years, and its turns are an hour apart.
    const sweeps = (): Promise<unknown> => database.query('UPDATE durable.workflow_retention SET next_at = now()');
    await waitFor(async () => (await sweeps(), !(await idsOf()).some((id) => gone.includes(id))), { message: 'expired runs to go' });
    // The last run in the order of creation: once it has gone, all other runs were judged again.
    await client.start(Plain, 'completes', { id: 'young' });
    await client.start(Plain, 'completes', { id: 'last' });
    await ended('young');
    await ended('last');
    await age(1.5, `id = 'last'`);
    await waitFor(async () => (await sweeps(), !(await idsOf()).includes('last')), { message: 'the last run to go' });

    expect((await idsOf()).sort()).toEqual([...before.filter((id) => !gone.includes(id)), 'young'].sort());
    expect(await idsOf()).toEqual(
      expect.arrayContaining([
        'old-parent/lasting',
        'old-parent/eternal',
        'old-parent/patient',
        'old-active',
        'old-active/plain',
        'old-chain',
        last,
        'old-kept',
        'order-7',
        'old-recorded',
      ]),
    );
    for (const id of gone) expect(await tablesWith(id)).toEqual([]);
    expect(expected.reduce((sum, { count }) => sum + count, 0)).toBe(gone.length);
    expect(expected).toContainEqual({ workflow: 'plain', status: 'failed', count: 1 });

    // Children of deleted parents, and chains without their middle, continue.
    await client.signal('old-parent/patient', go, 5);
    await expect(client.getHandle('old-parent/patient').result({ timeout: seconds(30) })).resolves.toBe(5);
    await client.signal('old-chain', go, 0);
    await expect(client.getHandle('old-chain').result({ timeout: seconds(30) })).resolves.toBe(0);
    await client.signal('old-active', go, 6);
    await expect(client.getHandle('old-active').result({ timeout: seconds(30) })).resolves.toBe(6);
    // A rule to try, which no option has.
    expect(await client.retention.preview({ cancelled: '1m' })).toEqual([]);
  });

  it('client.delete removes an ended run with its children, and frees its id', async () => {
    const { client } = app;
    await client.execute(Parent, undefined, { id: 'family', tags: { customer: '1' }, resultTimeout: seconds(30) });
    const token = await client.getHandle<string>('family/plain').result({ timeout: seconds(30) });
    await client.delete('family', { actor: 'ann', reason: 'tidy' });
    expect((await idsOf()).filter((id) => id.startsWith('family'))).toEqual(['family/patient']);
    expect((await tablesWith('family%')).filter((table) => table !== 'workflow_waits' && table !== 'workflow_steps')).toEqual([]);
    await expect(client.status('family')).rejects.toBeInstanceOf(RunNotFoundError);
    await expect(client.delete('family')).rejects.toMatchObject({ code: 'RUN_NOT_FOUND' });
    await expect(client.resumeHook(token, 1)).rejects.toMatchObject({ code: 'HOOK_NOT_FOUND' });
    await expect(client.delete('family/patient')).rejects.toMatchObject({ code: 'RUN_NOT_ENDED', runId: 'family/patient' });
    await client.signal('family/patient', go, 1);
    await ended('family/patient');
    await client.delete('family/patient');
    await client.execute(Parent, undefined, { id: 'family', resultTimeout: seconds(30) });
    expect((await client.describe('family')).children).toHaveLength(5);
  });

  it('client.delete removes a whole chain by any of its ids, once its last run has ended', async () => {
    const { client } = app;
    const [second, last] = await chain('whole');
    await expect(client.delete('whole')).rejects.toBeInstanceOf(RunNotEndedError);
    await expect(client.delete('whole')).rejects.toMatchObject({ runId: last });
    // Terminated just now: the deletion waits for what the worker may still be writing.
    await client.terminate('whole');
    await client.delete(second);
    expect((await idsOf()).filter((id) => ['whole', second, last].includes(id))).toEqual([]);
  });

  it('client.delete removes the rest of a chain whose last run was deleted by hand', async () => {
    const [second, last] = await chain('headless');
    await database.query('DELETE FROM durable.workflow_runs WHERE id = $1', [last]);
    await app.client.delete('headless');
    expect((await idsOf()).filter((id) => ['headless', second].includes(id))).toEqual([]);
  });

  it('client.bulk.delete erases all ended runs of a tag with their families, and keeps no trace of the tag', async () => {
    const { client } = app;
    const tags = { customer: '42' };
    for (let n = 0; n < 3; n++) await client.start(Parent, undefined, { id: `erased-${n}`, tags });
    const [, chained] = await chain('erased-chain');
    await database.query(
      `INSERT INTO durable.workflow_tags (run_id, key, value) VALUES ($1, 'customer', '42'), ('erased-chain', 'customer', '42')`,
      [chained],
    );
    await client.start(Patient, undefined, { id: 'erased-active', tags });
    for (let n = 0; n < 3; n++) await ended(`erased-${n}`);

    const first = await client.bulk.delete({ filter: { tags }, dryRun: true });
    expect(first.count).toBe(4);
    await client.bulk.delete({ token: first.token });
    const done = (token: string) =>
      waitFor(async () => ((await client.bulk.status(token)).state === 'completed' ? client.bulk.status(token) : undefined), {
        timeoutMs: 30_000,
      });
    // Each family has six ended runs. The chain has not ended.
    expect(await done(first.token)).toMatchObject({ kind: 'delete', done: 18, skipped: 1, locked: 0 });
    expect((await idsOf()).filter((id) => /^erased-\d/.test(id)).sort()).toEqual([0, 1, 2].map((n) => `erased-${n}/patient`));

    const end = await client.bulk.terminate({ filter: { tags }, dryRun: true });
    await client.bulk.terminate({ token: end.token });
    await done(end.token);
    const second = await client.bulk.delete({ filter: { tags }, dryRun: true });
    await client.bulk.delete({ token: second.token });
    expect(await done(second.token)).toMatchObject({ done: 4 });
    expect((await client.list({ tags })).runs).toEqual([]);
    expect((await idsOf()).filter((id) => id === 'erased-active' || id === 'erased-chain' || id === chained)).toEqual([]);
    const operations = await database.query(`SELECT * FROM durable.workflow_operations WHERE kind = 'delete'`);
    expect(operations).toHaveLength(2);
    expect(JSON.stringify(operations)).not.toMatch(/42"|erased/);
  });
});
