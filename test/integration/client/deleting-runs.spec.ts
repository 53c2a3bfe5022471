import { readFile } from 'node:fs/promises';

import { Injectable } from '@nestjs/common';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { Client } from 'pg';

import { defineSignal, NonRetryableError, OnRunEvent, Workflow, type AnyRunEvent, type WorkflowContext } from '../../../src/index.js';
import { RUN_TABLES } from '../../../src/store/sql/leftovers.js';
import { closeApplications, startApplication, type TestApplication } from '../../support/application.js';
import { createTestDatabase, type TestDatabase } from '../../support/database.js';
import { seconds, waitFor } from '../../support/wait.js';

const go = defineSignal<number>('go');

@Workflow({ name: 'patient' })
class Patient {
  run(_input: void, ctx: WorkflowContext): Promise<number> {
    return ctx.waitForSignal(go);
  }
}

/** A workflow that ends and leaves rows in most tables. */
@Workflow({ name: 'busy' })
class Busy {
  async run(ending: 'completes' | 'fails', ctx: WorkflowContext): Promise<string> {
    ctx.setState('ending', ending);
    await ctx.hook();
    await ctx.waitForSignal(go);
    if (ending === 'fails') throw new NonRetryableError('as told');
    return ending;
  }
}

@Workflow({ name: 'parent' })
class Parent {
  async run(_input: void, ctx: WorkflowContext): Promise<string> {
    return (await ctx.start(Patient)).runId;
  }
}

/** Completes at once. */
@Workflow({ name: 'quick' })
class Quick {
  async run(): Promise<string> {
    return 'done';
  }
}

let heard: AnyRunEvent[] = [];

@Injectable()
class Ear {
  @OnRunEvent('run.completed', { workflow: Quick })
  onCompleted(event: AnyRunEvent): void {
    heard.push(event);
  }

  @OnRunEvent('run.blocked', { workflow: Quick })
  onBlocked(event: AnyRunEvent): void {
    heard.push(event);
  }
}

/** Reads the SQL from docs/operations.md. */
async function documentedSql(): Promise<string> {
  const text = await readFile('docs/operations.md', 'utf8');
  const section = text.slice(text.indexOf('### Deleting runs by hand'));
  return /```sql\n([\s\S]*?)```/.exec(section)![1]!;
}

describe('the documented SQL that deletes runs', () => {
  let app: TestApplication;
  let database: TestDatabase;
  let sql: string;
  beforeAll(async () => {
    database = await createTestDatabase();
    app = await startApplication(database.url, [Patient, Busy, Parent], { worker: { suspendAfter: 0 } });
    sql = await documentedSql();
  });
  afterAll(async () => {
    await app.close();
    await database.drop();
  });

  const age = (): Promise<unknown[]> =>
    database.query(`UPDATE durable.workflow_runs SET finished_at = finished_at - interval '91 days' WHERE finished_at IS NOT NULL`);
  const deleteOld = async (): Promise<number> => Number((await database.query<{ deleted: string }>(sql))[0]!.deleted);
  const rowsOf = async (id: string): Promise<string[]> => {
    const counts = await Promise.all(
      RUN_TABLES.map(async (table) => ({ table, rows: await database.query(`SELECT 1 FROM durable.${table} WHERE run_id = $1`, [id]) })),
    );
    return counts.filter(({ rows }) => rows.length > 0).map(({ table }) => table);
  };
  const busy = async (id: string, ending: 'completes' | 'fails'): Promise<void> => {
    await app.client.start(Busy, ending, { id, tags: { ending } });
    await app.client.signal(id, go, 1);
    await app.client
      .getHandle(id)
      .result({ timeout: seconds(45) })
      .catch(() => undefined);
  };

  it('names every table that has rows of runs', () => {
    for (const table of [...RUN_TABLES, 'workflow_run_events']) expect(sql).toContain(`DELETE FROM durable.${table} t USING doomed`);
  });

  it('removes runs that ended more than 90 days ago with all their rows, and keeps the other runs', async () => {
    await busy('old', 'completes');
    await busy('failed', 'fails');
    await app.client.start(Patient, undefined, { id: 'goes on' });
    expect(await rowsOf('old')).toEqual(expect.arrayContaining(['workflow_steps', 'workflow_state', 'workflow_hooks', 'workflow_tags']));
    await age();
    await busy('young', 'completes');
    expect(await deleteOld()).toBe(2);
    expect(await deleteOld()).toBe(0);
    for (const id of ['old', 'failed']) expect(await rowsOf(id)).toEqual([]);
    const { runs } = await app.client.list();
    expect(runs.map(({ runId }) => runId).sort()).toEqual(['goes on', 'young']);
    expect(await rowsOf('young')).toContain('workflow_steps');
    await app.client.start(Busy, 'completes', { id: 'old' });
    await app.client.signal('old', go, 2);
    await expect(app.client.getHandle('old').result({ timeout: seconds(45) })).resolves.toBe('completes');
  });

  it('keeps a parent run until its child has ended', async () => {
    const child = await app.client.execute(Parent, undefined, { id: 'parent' });
    await age();
    await deleteOld();
    expect(await app.client.status('parent')).toBe('completed');
    await app.client.signal(child, go, 1);
    await app.client.getHandle(child).result({ timeout: seconds(45) });
    await age();
    await deleteOld();
    await expect(app.client.status('parent')).rejects.toMatchObject({ code: 'RUN_NOT_FOUND' });
  });

  it('is all that deletes runs of an application without retention', async () => {
    expect(await database.query('SELECT * FROM durable.workflow_retention')).toEqual([]);
    expect(await app.client.retention.preview()).toEqual([]);
  });

  it('does not deadlock beside concurrent deletions, retries and starts of the same ids, and every run ends', async () => {
    const ids = Array.from({ length: 20 }, (_, index) => `contested-${index}`);
    for (const id of ids) await busy(id, 'fails');
    await age();
    const work = [
      deleteOld(),
      deleteOld(),
      ...ids.map((id) => app.client.retry(id).catch(() => undefined)),
      ...ids.map((id) => app.client.start(Busy, 'completes', { id })),
    ];
    await Promise.all(work);
    for (const id of ids) {
      await app.client.signal(id, go, 3);
      await waitFor(async () => ['completed', 'failed'].includes(await app.client.status(id)), { message: id });
    }
  });
});

describe('events of deleted runs', () => {
  let database: TestDatabase;
  let app: TestApplication;
  beforeEach(async () => {
    database = await createTestDatabase();
    // The listener is known, and no process is left that has the listener.
    await (await startApplication(database.url, [Quick, Ear])).close();
  });
  afterEach(async () => {
    await closeApplications();
    await database.drop();
  });

  const events = (): Promise<{ run_id: string }[]> => database.query('SELECT run_id FROM durable.workflow_run_events ORDER BY run_id');
  const run = async (...ids: string[]): Promise<void> => {
    for (const id of ids) await app.client.execute(Quick, undefined, { id, tags: { day: 'today' } });
    await waitFor(async () => (await events()).length === ids.length);
  };

  it('go with runs that the client deletes, alone or in bulk', async () => {
    app = await startApplication(database.url, [Quick]);
    await run('a', 'b', 'c');
    await app.client.delete('a', { reason: 'erasure' });
    expect(await events()).toEqual([{ run_id: 'b' }, { run_id: 'c' }]);
    const { token } = await app.client.bulk.delete({ filter: { tags: { day: 'today' } }, dryRun: true });
    await app.client.bulk.delete({ token });
    await waitFor(async () => (await app.client.bulk.status(token)).state === 'completed');
    expect(await events()).toEqual([]);
  });

  it('are delivered without the tags and the block of a new run with the same id', async () => {
    app = await startApplication(database.url, [Quick]);
    await run('a', 'b');
    // The same lock as that of a process which is taking the event.
    const taking = new Client({ connectionString: database.url });
    await taking.connect();
    await taking.query(`BEGIN; SELECT 1 FROM durable.workflow_run_events WHERE run_id = 'a' FOR UPDATE`);
    await app.client.delete('a', { reason: 'erasure' });
    await taking.end();
    await app.client.start(Quick, undefined, { id: 'a', tags: { day: 'tomorrow' }, delay: '1h' });
    await database.query(
      `INSERT INTO durable.workflow_run_log (run_id, kind, data) VALUES ('a', 'blocked', '{"message":"of the new run"}')`,
    );
    await database.query(
      `INSERT INTO durable.workflow_run_events (run_id, listener, event, facts)
       SELECT run_id, 'Ear.onBlocked run.blocked quick', 'run.blocked', facts FROM durable.workflow_run_events WHERE run_id = 'a'`,
    );
    heard = [];
    await startApplication(database.url, [Quick, Ear]);
    await waitFor(() => heard.length === 3);
    const of = (id: string, name: string) => heard.find(({ runId, event }) => runId === id && event === name);
    expect(of('b', 'run.completed')).toMatchObject({ tags: { day: 'today' } });
    expect(of('a', 'run.completed')!.tags).toEqual({});
    expect(of('a', 'run.blocked')).toMatchObject({ error: { message: 'the error is no longer stored' } });
  });

  it('go with runs that the documented SQL deletes', async () => {
    app = await startApplication(database.url, [Quick]);
    await run('a');
    await database.query(`UPDATE durable.workflow_runs SET finished_at = finished_at - interval '91 days'`);
    expect(await database.query(await documentedSql())).toEqual([{ deleted: '1' }]);
    expect(await events()).toEqual([]);
  });

  it('stay after retention, until the listener has received them', async () => {
    app = await startApplication(database.url, [Quick], { retention: { completed: '1 minute' } });
    await run('a');
    await database.query(
      `UPDATE durable.workflow_runs SET created_at = created_at - interval '1 day', finished_at = finished_at - interval '1 day'`,
    );
    await waitFor(async () => (await app.client.count({})) === 0, { timeoutMs: 30_000 });
    expect(await events()).toEqual([{ run_id: 'a' }]);
    await startApplication(database.url, [Quick, Ear]);
    await waitFor(async () => (await events()).length === 0);
  });
});
