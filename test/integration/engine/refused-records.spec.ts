import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';

import { DataSource } from 'typeorm';

import { defineSignal, Workflow, type WorkflowContext } from '../../../src/index.js';
import { closeApplications, startApplication } from '../../support/application.js';
import { createTestDatabase, type TestDatabase } from '../../support/database.js';
import { seconds, waitFor } from '../../support/wait.js';

const bodies: string[] = [];

@Workflow({ name: 'named' })
class NamedWorkflow {
  async run(name: string, ctx: WorkflowContext): Promise<string> {
    try {
      return await ctx.step(name, () => {
        bodies.push(name);
        return 'done';
      });
    } catch (error) {
      return (error as Error).message;
    }
  }
}

const go = defineSignal<string>('go');

/** Takes one signal, records a step that the database may refuse, and takes another signal. */
@Workflow({ name: 'listener' })
class ListenerWorkflow {
  async run(_input: void, ctx: WorkflowContext): Promise<string[]> {
    const first = await ctx.waitForSignal(go);
    const refused = await ctx.step('cursed', () => 'recorded').catch(() => 'refused');
    return [first, refused, await ctx.waitForSignal(go)];
  }
}

/** An audit trigger of the application that refuses the result and the failure of step `cursed`. */
const REFUSE = `CREATE SEQUENCE public.refusals;
CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM nextval('public.refusals'); RAISE EXCEPTION 'not in my table'; END $$;
CREATE TRIGGER refuse BEFORE INSERT ON durable.workflow_steps FOR EACH ROW WHEN (NEW.step_key = 'cursed') EXECUTE FUNCTION refuse()`;

describe('a step that the database refuses to record', () => {
  let database: TestDatabase;
  beforeEach(() => void bodies.splice(0));
  afterEach(async () => {
    await closeApplications();
    await database.drop();
  });

  const runOf = async (id: string): Promise<{ status: string; is_blocked: boolean }> => {
    const [row] = await database.query('SELECT status, is_blocked FROM durable.workflow_runs WHERE id = $1', [id]);
    return row;
  };
  const isBlocked = (id: string): Promise<unknown> =>
    waitFor(async () => (await runOf(id)).is_blocked, { timeoutMs: 20_000, message: `run "${id}" to be blocked` });
  const reasonOf = async (id: string): Promise<{ code: string; message: string }> => {
    const [row] = await database.query(`SELECT data::text FROM durable.workflow_run_log WHERE run_id = $1 AND kind = 'blocked'`, [id]);
    return JSON.parse(row.data);
  };

  it('is executed once and blocks its run with the reason, while other runs complete', async () => {
    database = await createTestDatabase();
    const { client } = await startApplication(database.url, [NamedWorkflow], { worker: { concurrency: 1 } });
    await database.query(REFUSE);
    await client.start(NamedWorkflow, 'cursed', { id: 'refused' });
    await waitFor(() => bodies.includes('cursed'));
    for (let index = 0; index < 5; index++) expect(await client.execute(NamedWorkflow, `other-${index}`)).toBe('done');
    expect(await runOf('refused')).toEqual({ status: 'running', is_blocked: false });

    await isBlocked('refused');
    expect(await runOf('refused')).toEqual({ status: 'waiting', is_blocked: true });
    expect(bodies.filter((name) => name === 'cursed')).toHaveLength(1);
    expect(await reasonOf('refused')).toMatchObject({
      code: 'STEP_NOT_RECORDED',
      message: 'The database refuses to record step "cursed": not in my table',
    });

    const [first] = (await client.describe('refused')).waitingFor;
    expect(first).toMatchObject({ kind: 'resume', text: expect.stringContaining('the database refuses to record a step') });
    const late: unknown = await client
      .getHandle('refused')
      .result({ timeout: 1 })
      .catch((error: unknown) => error);
    expect((late as Error).message).toContain('the database refuses to record a step');
    expect((late as Error).message).not.toContain('whose code fits');

    await database.query('DROP TRIGGER refuse ON durable.workflow_steps');
    await client.resume('refused', { actor: 'ann', reason: 'the trigger is gone' });
    const { entries } = await client.history('refused');
    expect(entries.find(({ kind }) => kind === 'resumed')?.data).toEqual({ actor: 'ann', reason: 'the trigger is gone' });
    expect(await client.getHandle(NamedWorkflow, 'refused').result({ timeout: seconds(30) })).toBe('done');
  });

  it('fails, and its run continues, once the database accepts the failure', async () => {
    database = await createTestDatabase();
    const { client } = await startApplication(database.url, [NamedWorkflow]);
    await database.query(REFUSE);
    const handle = await client.start(NamedWorkflow, 'cursed', { id: 'refused-for-a-while' });
    // A sequence counts although the transaction is rolled back. The result is refused first, then
    // the failure.
    await waitFor(async () => (await database.query('SELECT 1 FROM public.refusals WHERE is_called AND last_value >= 2')).length > 0);
    await database.query('DROP TRIGGER refuse ON durable.workflow_steps');
    expect(await handle.result({ timeout: seconds(30) })).toBe('Step "cursed" failed after 1 attempt: not in my table');
    expect(bodies).toEqual(['cursed']);
  });

  it('leaves its run every signal that had been read before', async () => {
    database = await createTestDatabase();
    const { client } = await startApplication(database.url, [ListenerWorkflow], { worker: { suspendAfter: 60_000 } });
    const caller = await new DataSource({ type: 'postgres', url: database.url }).initialize();
    await database.query(`CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'not in my table'; END $$;
CREATE TRIGGER refuse BEFORE INSERT ON durable.workflow_steps FOR EACH ROW WHEN (NEW.step_key = 'cursed' AND NEW.status = 'completed')
  EXECUTE FUNCTION refuse()`);
    const handle = await client.start(ListenerWorkflow, undefined, { id: 'listening' });
    await waitFor(async () => (await client.describe('listening')).waitingFor.length > 0);
    // One transaction, so that one read of the inbox finds both.
    await caller.transaction(async (manager) => {
      for (const each of ['one', 'two']) await client.signal('listening', go, each, { manager });
    });
    const result = await handle.result({ timeout: seconds(30) });
    expect(result[1]).toBe('refused');
    await caller.destroy();
    // The sweep of overlooked messages raises the counter too, seconds later.
    expect(await database.query(`SELECT wake_count FROM durable.workflow_runs WHERE id = 'listening'`)).toEqual([{ wake_count: 1 }]);
    expect([result[0], result[2]]).toEqual(['one', 'two']);
  });
});

@Workflow({ name: 'sleeper' })
class Sleeper {
  async run(ms: number, ctx: WorkflowContext): Promise<string> {
    await ctx.sleep(ms);
    return 'awake';
  }
}

describe('a wait that the database refuses to record', () => {
  it('blocks its run with the reason, and a run whose wait is recorded completes', async () => {
    const database = await createTestDatabase();
    try {
      const { client } = await startApplication(database.url, [Sleeper], { worker: { suspendAfter: 0 } });
      await database.query(`CREATE FUNCTION refuse_wait() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'no waits here'; END $$;
CREATE TRIGGER refuse_wait BEFORE INSERT ON durable.workflow_waits FOR EACH ROW WHEN (NEW.run_id = 'cursed') EXECUTE FUNCTION refuse_wait()`);
      await client.start(Sleeper, 100, { id: 'cursed' });
      await waitFor(async () => (await client.describe('cursed')).blocked !== undefined);
      expect((await client.describe('cursed')).blocked).toMatchObject({ reason: { code: 'STEP_NOT_RECORDED' } });
      expect(await client.execute(Sleeper, 10)).toBe('awake');
    } finally {
      await closeApplications();
      await database.drop();
    }
  });
});
