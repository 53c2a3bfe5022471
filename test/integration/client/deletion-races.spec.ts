import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import pg from 'pg';

import { defineSignal, Workflow, type WorkflowContext } from '../../../src/index.js';
import { Database } from '../../../src/store/database.js';
import { nextPart } from '../../../src/store/sql/bulk-operation-parts.js';
import { RUN_TABLES } from '../../../src/store/sql/leftovers.js';
import { startApplication, type TestApplication } from '../../support/application.js';
import { createTestDatabase, type TestDatabase } from '../../support/database.js';
import { seconds, waitFor } from '../../support/wait.js';

const go = defineSignal<number>('go');

@Workflow({ name: 'child' })
class Child {
  run(_input: void, ctx: WorkflowContext): Promise<number> {
    return ctx.waitForSignal(go);
  }
}

/** Returns the life in which it was started, and the number that its child was told. */
@Workflow({ name: 'parent' })
class Parent {
  async run(life: number, ctx: WorkflowContext): Promise<[number, number]> {
    const own = await ctx.step('own', () => life);
    return [own, await ctx.invoke(Child)];
  }
}

@Workflow({ name: 'quick' })
class Quick {
  run(life: number, ctx: WorkflowContext): Promise<number> {
    return ctx.step('quick', () => life);
  }
}

describe('deleting runs beside other changes of the same runs', () => {
  let app: TestApplication;
  let database: TestDatabase;
  beforeAll(async () => {
    database = await createTestDatabase();
    app = await startApplication(database.url, [Child, Parent, Quick], { worker: { suspendAfter: 20 } });
  });
  afterAll(async () => {
    await app.close();
    await database.drop();
  });

  const childOf = (id: string, but?: string): Promise<string> =>
    waitFor(async () => (await app.client.describe(id)).children.find(({ runId }) => runId !== but)?.runId, { timeoutMs: 20_000 });

  it('a new run with the id gets nothing of the deleted one, while a child of the deleted one reports its end', async () => {
    const { client } = app;
    const ids = Array.from({ length: 20 }, (_, n) => `contested-${n}`);
    const before = new Map<string, string>();
    for (const id of ids) await client.start(Parent, 1, { id });
    for (const id of ids) before.set(id, await childOf(id));
    for (const id of ids) await client.terminate(id);
    await database.query(`UPDATE durable.workflow_runs SET finished_at = finished_at - interval '5 seconds' WHERE finished_at IS NOT NULL`);
    const work = ids.flatMap((id) => [
      client.delete(id),
      // Started before or after the deletion: until the new run exists, the old one is returned.
      waitFor(async () => (await client.start(Parent, 2, { id })).created, { timeoutMs: 20_000, message: id }),
      client.signal(before.get(id)!, go, 1),
    ]);
    await Promise.all(work);
    // A child that ended before the deletion went with its parent.
    const ends = ids.map((id) => client.getHandle(before.get(id)!).result({ timeout: seconds(20) }));
    for (const end of await Promise.allSettled(ends)) {
      if (end.status === 'rejected') expect(end.reason).toMatchObject({ code: 'RUN_NOT_FOUND' });
      else expect(end.value).toBe(1);
    }
    for (const id of ids) await client.signal(await childOf(id, before.get(id)), go, 2);
    for (const id of ids) await expect(client.getHandle(id).result({ timeout: seconds(20) })).resolves.toEqual([2, 2]);
    for (const table of RUN_TABLES)
      expect(await database.query(`SELECT 1 FROM durable.${table} WHERE run_id NOT IN (SELECT id FROM durable.workflow_runs)`)).toEqual([]);
  });

  it('a message of a child to a parent that was deleted is removed', async () => {
    const { client } = app;
    await client.start(Parent, 1, { id: 'gone' });
    const child = await childOf('gone');
    await client.terminate('gone');
    await client.delete('gone');
    expect(await client.describe(child)).toMatchObject({ parent: { runId: 'gone' } });
    await client.signal(child, go, 3);
    await expect(client.getHandle(child).result({ timeout: seconds(20) })).resolves.toBe(3);
    const messages = () => database.query(`SELECT * FROM durable.workflow_inbox WHERE run_id = 'gone'`);
    expect(await messages()).toHaveLength(1);
    await database.query(`UPDATE durable.workflow_inbox SET created_at = created_at - interval '10 seconds'`);
    await waitFor(async () => (await messages()).length === 0, { timeoutMs: 20_000 });
  });

  it('a family of which one run is locked stays as a whole until the lock is gone', async () => {
    const { client } = app;
    const tags = { family: 'locked' };
    for (const id of ['one', 'two']) {
      await client.start(Parent, 1, { id, tags });
      await client.signal(await childOf(id), go, 1);
      await client.getHandle(id).result({ timeout: seconds(20) });
    }
    const child = await childOf('one');
    const holder = new pg.Client({ connectionString: database.url });
    await holder.connect();
    try {
      await holder.query('BEGIN');
      await holder.query('SELECT 1 FROM durable.workflow_runs WHERE id = $1 FOR UPDATE', [child]);
      const { token, count } = await client.bulk.delete({ filter: { tags }, dryRun: true });
      expect(count).toBe(2);
      await client.bulk.delete({ token });
      const status = await waitFor(
        async () => {
          const found = await client.bulk.status(token);
          return found.locked > 0 && found.done > 0 ? found : undefined;
        },
        { timeoutMs: 20_000 },
      );
      expect(status).toMatchObject({ state: 'running', done: 2, locked: 1 });
      expect(await client.status('one')).toBe('completed');
      const deleted = client.delete('one');
      await holder.query('ROLLBACK');
      // The operation or the call deletes the family, whichever comes first.
      await deleted.catch((error: unknown) => expect(error).toMatchObject({ code: 'RUN_NOT_FOUND' }));
      const end = await waitFor(async () => {
        const found = await client.bulk.status(token);
        return found.state === 'completed' ? found : undefined;
      });
      expect(end.locked).toBe(0);
      expect(await database.query('SELECT 1 FROM durable.workflow_runs WHERE id = ANY ($1)', [['one', 'two', child]])).toEqual([]);
    } finally {
      await holder.end();
    }
  });

  it('is left alone by a worker of an earlier version, which would retry the runs', async () => {
    const { token } = await app.client.bulk.delete({ filter: { name: 'nothing' }, dryRun: true });
    const [row] = await database.query<{ conditions: object }>('SELECT conditions FROM durable.workflow_operations WHERE token = $1', [
      token,
    ]);
    const operation = { token, kind: 'retry', conditions: row!.conditions, signal: null, note: '{}', rate: null } as const;
    const reader = new Database({ connectionString: database.url }, { poolSize: 1 });
    try {
      const part = nextPart(reader, { ...operation, createdAt: 'now', after: null, locked: [], dueInMs: 0 }, 100);
      await expect(part).rejects.toMatchObject({ code: '22P02' });
    } finally {
      await reader.close();
    }
  });

  it('deletes more descendants than one query returns, and none of a descendant that is active', async () => {
    await app.client.execute(Quick, 1, { id: 'root' });
    const insert = (prefix: string, parents: string[], count: number): Promise<unknown[]> =>
      database.query(
        `INSERT INTO durable.workflow_runs (id, name, version, queue, status, created_at, finished_at, start_nonce, input, parent_run_id)
        SELECT p || $1 || n, 'quick', 1, 'default', 'completed', now(), now(), n, '{}', p FROM unnest($2::text[]) AS p, generate_series(1, $3::int) AS n`,
        [prefix, parents, count],
      );
    await insert('-a', ['root'], 9);
    await insert(
      '-b',
      Array.from({ length: 9 }, (_, n) => `root-a${n + 1}`),
      700,
    );
    await insert('-c', ['root-a3-b5', 'root-a9-b700', 'root-a9-b7'], 3);
    await database.query(
      `UPDATE durable.workflow_runs SET status = 'waiting', finished_at = NULL, wake_at = now() + interval '1 hour' WHERE id = 'root-a9-b7'`,
    );
    await app.client.delete('root');
    const rest = await database.query(`SELECT id FROM durable.workflow_runs WHERE id LIKE 'root%' ORDER BY id`);
    expect(rest.map(({ id }) => id)).toEqual(['root-a9-b7', 'root-a9-b7-c1', 'root-a9-b7-c2', 'root-a9-b7-c3']);
  });

  it('deletes a chain of more runs than one query returns', async () => {
    const { client } = app;
    const id = 'chain';
    await database.query(
      `INSERT INTO durable.workflow_runs (id, name, version, queue, status, created_at, finished_at, start_nonce, chain_nonce, input, continued_from, continued_as)
      SELECT $1 || CASE WHEN n > 1 THEN '-' || n ELSE '' END, 'quick', 1, 'default', 'completed', now(), now() - interval '1 minute', n, 1, '{}',
        CASE n WHEN 1 THEN NULL WHEN 2 THEN $1 ELSE $1 || '-' || n - 1 END, CASE WHEN n < $2::int THEN $1 || '-' || n + 1 END
      FROM generate_series(1, $2::int) AS n`,
      [id, 5_100],
    );
    await client.delete(id);
    expect(await database.query(`SELECT id FROM durable.workflow_runs WHERE id LIKE $1 || '%'`, [id])).toEqual([]);
  });
});
