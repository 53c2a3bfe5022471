import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { DataSource } from 'typeorm';

import { defineSignal, LeftoversError, Workflow, type WorkflowContext } from '../../../src/index.js';
import { RUN_TABLES } from '../../../src/store/sql/leftovers.js';
import { startApplication, type TestApplication } from '../../support/application.js';
import { createTestDatabase, type TestDatabase } from '../../support/database.js';
import { seconds, waitFor } from '../../support/wait.js';

const go = defineSignal<number>('go');

@Workflow({ name: 'child' })
class Child {
  run(life: number, ctx: WorkflowContext): Promise<number> {
    return ctx.step('child', () => life);
  }
}

@Workflow({ name: 'patient child' })
class PatientChild {
  async run(_life: number, ctx: WorkflowContext): Promise<number> {
    return ctx.waitForSignal(go);
  }
}

const bodies = new Map<number, () => void>();

/** A workflow whose first step lasts until the test ends it. */
@Workflow({ name: 'slow' })
class Slow {
  async run(life: number, ctx: WorkflowContext): Promise<number[]> {
    const first = await ctx.step('slow', () => new Promise<number>((resolve) => bodies.set(life, () => resolve(life))));
    return [first, await ctx.step('quick', () => life)];
  }
}

/** Leaves rows in every table that a run can leave rows in. */
@Workflow({ name: 'everything' })
class Everything {
  async run(life: number, ctx: WorkflowContext): Promise<unknown> {
    const step = await ctx.step('first', () => life);
    ctx.setState('life', life);
    const hook = await ctx.hook<number>();
    await ctx.step('keep the token', () => hook.token);
    const signal = await ctx.waitForSignal(go);
    const { runId } = await ctx.start(Child, life);
    return { step, signal, child: await ctx.invoke(Child, life), detached: runId, token: hook.token };
  }
}

/** Starts a run with the given id. */
@Workflow({ name: 'starting' })
class Starting {
  async run({ id, life, how }: { id: string; life: number; how: 'invoke' | 'start' }, ctx: WorkflowContext): Promise<void> {
    if (how === 'invoke') await ctx.invoke(Everything, life, { id });
    else await ctx.start(Everything, life, { id });
  }
}

@Workflow({ name: 'waiting parent' })
class WaitingParent {
  async run(life: number, ctx: WorkflowContext): Promise<number> {
    return ctx.invoke(PatientChild, life);
  }
}

describe('an id that is used again after its run was deleted', () => {
  let app: TestApplication;
  let database: TestDatabase;
  let dataSource: DataSource;
  beforeAll(async () => {
    database = await createTestDatabase();
    app = await startApplication(database.url, [Slow, Child, PatientChild, Everything, Starting, WaitingParent], {
      worker: { suspendAfter: 0 },
    });
    dataSource = await new DataSource({ type: 'postgres', url: database.url }).initialize();
  });
  afterAll(async () => {
    await dataSource.destroy();
    await app.close();
    await database.drop();
  });

  const deleteRun = (id: string) => database.query('DELETE FROM durable.workflow_runs WHERE id = $1', [id]);
  const live = async (id: string, life: number): Promise<Record<string, unknown>> => {
    await app.client.signal(id, go, life);
    return (await app.client.getHandle(id).result({ timeout: seconds(45) })) as Record<string, unknown>;
  };

  it.each(['here', 'by claims'] as const)(
    'starts a run with its own results while the deleted run still executes (both started %s)',
    async (where) => {
      const id = `deleted while it runs, ${where}`;
      const options = where === 'here' ? { id } : { id, delay: 1 };
      await app.client.start(Slow, 1, options);
      await waitFor(() => bodies.get(1));
      await deleteRun(id);
      await app.client.start(Slow, 2, options);
      await waitFor(() => bodies.get(2));
      bodies.get(1)!();
      await app.client.execute(Child, 0);
      bodies.get(2)!();
      await expect(app.client.getHandle(id).result({ timeout: seconds(45) })).resolves.toEqual([2, 2]);
      bodies.clear();
    },
  );

  const DOORS: Readonly<Record<string, (id: string, life: number) => Promise<unknown>>> = {
    'client.start': (id, life) => app.client.start(Everything, life, { id }),
    'client.start with tags': (id, life) => app.client.start(Everything, life, { id, tags: { life: String(life) } }),
    'client.startMany': (id, life) => app.client.startMany(Everything, [life], () => ({ id })),
    'a delayed start': (id, life) => app.client.start(Everything, life, { id, delay: 20 }),
    'a start in a transaction': (id, life) =>
      dataSource.transaction((manager) => app.client.start(Everything, life, { id, manager, tags: { life: String(life) } })),
    'a start in a transaction that deletes the run itself': (id, life) =>
      dataSource.transaction(async (manager) => {
        await manager.query('DELETE FROM durable.workflow_runs WHERE id = $1', [id]);
        await app.client.start(Everything, life, { id, manager });
      }),
    'a start behind a fixed snapshot': (id, life) =>
      dataSource.transaction('REPEATABLE READ', (manager) => app.client.start(Everything, life, { id, manager })),
    'ctx.invoke': (id, life) => app.client.start(Starting, { id, life, how: 'invoke' }),
    'ctx.start': (id, life) => app.client.start(Starting, { id, life, how: 'start' }),
  };

  it.each(Object.keys(DOORS))('gets no steps, signals, hooks or children of the deleted run after %s', async (door) => {
    const id = `reused by ${door}`;
    const start = DOORS[door]!;
    await start(id, 1);
    await waitFor(() => app.client.describe(id));
    const first = await live(id, 1);
    expect(first).toMatchObject({ step: 1, signal: 1, child: 1 });
    // The first run never takes this message.
    await database.query(`INSERT INTO durable.workflow_inbox (run_id, kind, name, payload) VALUES ($1, 'signal', 'go', '"former"')`, [id]);
    if (!door.includes('deletes')) await deleteRun(id);
    await start(id, 2);
    await waitFor(() => app.client.describe(id));
    const second = await live(id, 2);
    expect(second).toMatchObject({ step: 2, signal: 2, child: 2 });
    expect(second['token']).not.toBe(first['token']);
    expect(second['detached']).not.toBe(first['detached']);
    expect(await app.client.getHandle(second['detached'] as string).result({ timeout: seconds(45) })).toBe(2);
    const { state, children } = await app.client.describe(id);
    expect(state).toEqual({ life: 2 });
    expect(children).toHaveLength(2);
    const { entries } = await app.client.history(id, { limit: 100 });
    expect(entries.filter(({ kind }) => kind === 'signal_sent')).toHaveLength(1);
  });

  it('is not found by the tags of the deleted run', async () => {
    await app.client.start(Child, 1, { id: 'tagged', tags: { owner: 'ann' } });
    await app.client.getHandle('tagged').result();
    await deleteRun('tagged');
    await app.client.start(Child, 2, { id: 'tagged' });
    expect((await app.client.list({ tags: { owner: 'ann' } })).runs).toEqual([]);
  });

  it('ignores the end of a child of the deleted run, and waits for its own child', async () => {
    const id = 'parent of two lives';
    const childOf = () => waitFor(async () => (await app.client.describe(id)).children[0]?.runId);
    await app.client.start(WaitingParent, 1, { id });
    const oldChild = await childOf();
    await deleteRun(id);
    const { created } = await app.client.start(WaitingParent, 2, { id });
    expect(created).toBe(true);
    const newChild = await waitFor(async () => (await app.client.describe(id)).children.find(({ runId }) => runId !== oldChild)?.runId);
    expect((await app.client.describe(id)).children).toHaveLength(1);
    await app.client.signal(oldChild, go, 1);
    await expect(app.client.getHandle(oldChild).result({ timeout: seconds(45) })).resolves.toBe(1);
    await app.client.signal(newChild, go, 2);
    await expect(app.client.getHandle(id).result({ timeout: seconds(45) })).resolves.toBe(2);
    expect(await database.query('SELECT * FROM durable.workflow_inbox WHERE run_id = $1', [id])).toEqual([]);
  });

  it('is checked for leftover rows in every table with a run_id column', async () => {
    const tables = await database.query<{ table: string }>(`SELECT c.table_name AS table FROM information_schema.columns c
      JOIN information_schema.tables t USING (table_schema, table_name)
      WHERE c.table_schema = 'durable' AND c.column_name = 'run_id' AND t.table_type = 'BASE TABLE'`);
    // Events of a deleted run wait for their listeners, and no run reads them. Rows of shared
    // starts name the nonce of their run. A place of a step ends with its session.
    const others = ['workflow_run_events', 'workflow_shared_starts', 'workflow_start_requests', 'workflow_step_places'];
    const checked = tables.map(({ table }) => table).filter((table) => !others.includes(table));
    expect(checked.sort()).toEqual([...RUN_TABLES].sort());
  });

  const LEFT: Readonly<Record<(typeof RUN_TABLES)[number], string>> = {
    workflow_steps: `INSERT INTO durable.workflow_steps (run_id, step_key, started_at, finished_at, seq, epoch, attempts, called_after, called_after_io, kind, status, output)
      VALUES ($1, 'child', now(), now(), 1, 1, 1, 0, false, 'step', 'completed', '"former"')`,
    workflow_waits: `INSERT INTO durable.workflow_waits (run_id, step_key, kind, opened_at) VALUES ($1, 'sleep', 'sleep', now())`,
    workflow_state: `INSERT INTO durable.workflow_state (run_id, key, value) VALUES ($1, 'life', '"former"')`,
    workflow_tags: `INSERT INTO durable.workflow_tags (run_id, key, value) VALUES ($1, 'life', 'former')`,
    workflow_run_log: `INSERT INTO durable.workflow_run_log (run_id, kind, name, idempotency_key) VALUES ($1, 'signal_sent', 'go', 'key')`,
    workflow_inbox: `INSERT INTO durable.workflow_inbox (run_id, kind, name, payload) VALUES ($1, 'cancel', NULL, '{}')`,
    workflow_hooks: `INSERT INTO durable.workflow_hooks (token, run_id, step_key) VALUES ('token of ' || $1, $1, 'hook')`,
    workflow_outbox: `INSERT INTO durable.workflow_outbox (run_id, seq, attempts, next_at) VALUES ($1, '1', 3, now())`,
    workflow_stream_chunks: `INSERT INTO durable.workflow_stream_chunks (run_id, stream, seq, kind, bytes, stream_bytes, run_position, epoch, ordinal)
      VALUES ($1, 'default', 1, 'end', 0, 0, 0, 1, 1)`,
    workflow_event_receipts: `INSERT INTO durable.workflow_event_receipts (run_id, event_seq, step_key) VALUES ($1, 1, 'event:paid')`,
  };
  const ways = ['client.start', 'a transaction', 'ctx.start', 'many at once'] as const;
  it.each(RUN_TABLES.flatMap((table) => ways.map((way) => ({ table, way }))))(
    'gets none of the rows left in $table (start: $way)',
    async ({ table, way }) => {
      const id = `left in ${table} for ${way}`;
      await database.query(LEFT[table], [id]);
      if (way === 'client.start') await app.client.start(Child, 1, { id, tags: { life: '1' } });
      else if (way === 'a transaction')
        await dataSource.transaction((manager) => app.client.start(Child, 1, { id, manager, tags: { life: '1' } }));
      else if (way === 'ctx.start') await app.client.execute(Starting, { id, life: 1, how: 'start' });
      else {
        const handles = await Promise.all(Array.from({ length: 5 }, () => app.client.start(Child, 1, { id })));
        expect(handles.filter(({ created }) => created)).toHaveLength(1);
      }
      if (way === 'ctx.start') await app.client.signal(id, go, 1);
      const result = await app.client.getHandle(id).result({ timeout: seconds(45) });
      expect(result).toEqual(way === 'ctx.start' ? expect.objectContaining({ step: 1, signal: 1, child: 1 }) : 1);
      expect(JSON.stringify(await database.query(`SELECT * FROM durable.${table} WHERE run_id = $1`, [id]))).not.toContain('former');
    },
  );

  it('is refused with LeftoversError when rows of the deleted run cannot be removed', async () => {
    await database.query(`INSERT INTO durable.workflow_state (run_id, key, value) VALUES ('kept', 'life', '"former"')`);
    await database.query(`CREATE FUNCTION keep() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'`);
    await database.query('CREATE TRIGGER keep BEFORE DELETE ON durable.workflow_state FOR EACH ROW EXECUTE FUNCTION keep()');
    try {
      await expect(app.client.start(Child, 1, { id: 'kept' })).rejects.toThrow(LeftoversError);
      await expect(dataSource.transaction((manager) => app.client.start(Child, 1, { id: 'kept', manager }))).rejects.toThrow(
        LeftoversError,
      );
      await expect(app.client.execute(Child, 1)).resolves.toBe(1);
    } finally {
      await database.query('DROP TRIGGER keep ON durable.workflow_state');
    }
    await expect(app.client.execute(Child, 1, { id: 'kept' })).resolves.toBe(1);
  });

  it('returns the result of a run that was just created, under concurrent starts and deletions', async () => {
    const id = 'contested';
    let lives = 0;
    for (let round = 0; round < 12; round++) {
      const inputs = [1, 2, 3].map((n) => round * 10 + n);
      const [, ...handles] = await Promise.all([deleteRun(id), ...inputs.map((life) => app.client.start(Child, life, { id }))]);
      const created = handles.flatMap((handle, index) => (handle.created ? [inputs[index]] : []));
      lives += created.length;
      // The result is undefined when the deletion was last.
      const result = await app.client
        .getHandle(id)
        .result({ timeout: seconds(45) })
        .catch(() => undefined);
      if (created.length > 0) expect([...created, undefined]).toContain(result);
    }
    expect(lives).toBeGreaterThan(1);
  });
});
