import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { z } from 'zod';

import {
  HookConflictError,
  HookNotFoundError,
  InvalidInputError,
  RunEndedError,
  Workflow,
  type HookOptions,
  type WorkflowContext,
} from '../../src/index.js';
import { closeApplications, startApplication, type TestApplication } from '../support/application.js';
import { createTestDatabase, type TestDatabase } from '../support/database.js';
import { seconds, waitFor } from '../support/wait.js';

interface Input {
  token?: string;
  headers?: string[];
  take?: number;
}

@Workflow({ name: 'hooked' })
class Hooked {
  async run({ take = 1, ...options }: Input, ctx: WorkflowContext): Promise<unknown> {
    const hook = await ctx.hook(options as HookOptions);
    const got: unknown[] = [];
    for await (const value of hook) {
      got.push(value);
      if (got.length === take) break;
    }
    return { token: hook.token, url: hook.url, got };
  }
}

@Workflow({ name: 'fussy' })
class Fussy {
  async run(token: string, ctx: WorkflowContext): Promise<number> {
    return (await ctx.hook({ token, schema: z.coerce.number().min(1) })).wait();
  }
}

@Workflow({ name: 'loops' })
class Loops {
  async run({ token, left }: { token: string; left: number }, ctx: WorkflowContext): Promise<unknown> {
    const hook = await ctx.hook<string>({ token });
    const value = await hook.wait();
    return left > 0 ? ctx.continueAsNew(Loops, { token, left: left - 1 }) : value;
  }
}

@Workflow({ name: 'rival' })
class Rival {
  async run(token: string, ctx: WorkflowContext): Promise<unknown> {
    try {
      return (await ctx.hook({ token })).token;
    } catch (error) {
      return error instanceof HookConflictError ? { owner: error.ownerRunId, message: error.message } : 'something else';
    }
  }
}

describe('a hook', () => {
  let app: TestApplication;
  let database: TestDatabase;
  beforeAll(async () => {
    database = await createTestDatabase();
    app = await startApplication(database.url, [Hooked, Fussy, Loops, Rival], { worker: { suspendAfter: 50 } });
  });
  afterAll(async () => {
    await closeApplications();
    await database.drop();
  });

  const tokensOf = async (runId: string): Promise<string[]> => {
    const rows = await database.query<{ token: string }>(`SELECT token FROM durable.workflow_hooks WHERE run_id = $1`, [runId]);
    return rows.map(({ token }) => token);
  };
  const tokenOf = (runId: string): Promise<string> => waitFor(async () => (await tokensOf(runId))[0], { message: 'the hook' });
  const suspended = (runId: string): Promise<unknown> => waitFor(async () => (await app.client.getHandle(runId).status()) === 'waiting');

  it('has a random token that no other hook has', async () => {
    const [one, two] = await app.client.startMany(Hooked, [{}, {}]);
    const tokens = [await tokenOf(one!.runId), await tokenOf(two!.runId)];
    expect(new Set(tokens).size).toBe(2);
    for (const token of tokens) expect(token).toMatch(/^[\w-]{43}$/);
    for (const token of tokens) await app.client.resumeHook(token);
    expect(await one!.result()).toEqual({ token: tokens[0], url: `/workflow/hooks/${tokens[0]}`, got: [null] });
    await two!.result();
  });

  it('returns several payloads by iteration in the order in which they came, early ones included', async () => {
    const handle = await app.client.start(Hooked, { take: 3 });
    const token = await tokenOf(handle.runId);
    for (const value of ['a', { b: [1] }, 3]) await app.client.resumeHook(token, value);
    expect(await handle.result()).toMatchObject({ got: ['a', { b: [1] }, 3] });
  });

  it('resumes a suspended run', async () => {
    const handle = await app.client.start(Hooked, { take: 2 });
    const token = await tokenOf(handle.runId);
    for (const value of ['first', 'second']) {
      await suspended(handle.runId);
      await app.client.resumeHook(token, value);
    }
    expect(await handle.result()).toMatchObject({ got: ['first', 'second'] });
  });

  it('is refused when another run has its token, with the id of that run', async () => {
    const token = 'taken by the first of them';
    const owner = await app.client.start(Hooked, { token });
    await tokenOf(owner.runId);
    expect(await app.client.execute(Rival, token)).toEqual({ owner: owner.runId, message: expect.stringContaining(owner.runId) });
    const refused = await app.client.start(Hooked, { token });
    await expect(refused.result()).rejects.toMatchObject({ cause: { code: 'HOOK_CONFLICT', ownerRunId: owner.runId } });
    const [row] = await database.query('SELECT error::text FROM durable.workflow_runs WHERE id = $1', [refused.runId]);
    expect(row.error).not.toContain(token);
    await app.client.resumeHook(token, 'for the owner');
    expect(await owner.result()).toMatchObject({ got: ['for the owner'] });
  });

  it('is closed with its run, and another hook may then have its token', async () => {
    const token = 'used by one after the other';
    const handle = await app.client.start(Hooked, { token });
    await tokenOf(handle.runId);
    await app.client.cancel(handle.runId);
    await expect(handle.result()).rejects.toMatchObject({ code: 'WORKFLOW_CANCELLED' });
    await expect(app.client.resumeHook(token, 1)).rejects.toBeInstanceOf(RunEndedError);
    expect(await app.client.execute(Rival, token)).toBe(token);
  });

  it('moves to the run that continues its run', async () => {
    const token = 'of a run that goes on and on';
    const handle = await app.client.start(Loops, { token, left: 2 });
    const owners = new Set<string>();
    for (const value of ['one', 'two', 'three']) {
      const owner = await waitFor(async () => {
        const [row] = await database.query<{ run_id: string }>(`SELECT run_id FROM durable.workflow_hooks WHERE token = $1`, [token]);
        return row && !owners.has(row.run_id) ? row.run_id : undefined;
      });
      owners.add(owner);
      await app.client.resumeHook(token, value);
    }
    expect(await handle.result()).toBe('three');
  });

  it('cannot be resumed with an unknown token', async () => {
    await expect(app.client.resumeHook('no such token anywhere', 1)).rejects.toBeInstanceOf(HookNotFoundError);
  });

  it('keeps its token when the worker is lost between the creation and the record of the step', async () => {
    await database.query(`
      CREATE FUNCTION no_space() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'not now' USING ERRCODE = '53200'; END $$;
      CREATE TRIGGER no_space BEFORE INSERT ON durable.workflow_steps FOR EACH ROW WHEN (NEW.step_key = 'hook') EXECUTE FUNCTION no_space();`);
    const handle = await app.client.start(Hooked, {});
    const token = await tokenOf(handle.runId);
    // Simulates the takeover of a dead worker.
    const owner = `SELECT session_id FROM durable.workflow_runs WHERE id = '${handle.runId}'`;
    await database.query(`DELETE FROM durable.workflow_sessions WHERE id = (${owner})`);
    await database.query(
      `UPDATE durable.workflow_runs SET status = 'pending', session_id = NULL, ready_at = now() WHERE id = $1 AND status = 'running'`,
      [handle.runId],
    );
    await database.query(`DROP TRIGGER no_space ON durable.workflow_steps`);
    await app.client.resumeHook(token, 'still me');
    expect(await handle.result({ timeout: seconds(45) })).toMatchObject({ token, got: ['still me'] });
    expect(await tokensOf(handle.runId)).toEqual([token]);
    const [run] = await database.query<{ epoch: number }>(`SELECT epoch FROM durable.workflow_runs WHERE id = $1`, [handle.runId]);
    expect(run!.epoch).toBeGreaterThan(1);
  });

  it('returns a payload of the client with a body and empty headers when it asks for headers', async () => {
    const handle = await app.client.start(Hooked, { headers: ['x-from'] });
    await app.client.resumeHook(await tokenOf(handle.runId), { n: 1 });
    expect(await handle.result()).toMatchObject({ got: [{ body: { n: 1 }, headers: {} }] });
  });

  describe('a schema of a hook', () => {
    it('refuses a bad payload in a process that has executed the run', async () => {
      const token = 'checked where it comes in';
      const handle = await app.client.start(Fussy, token);
      await suspended(handle.runId);
      const refused = app.client.resumeHook(token, 'many');
      await expect(refused).rejects.toBeInstanceOf(InvalidInputError);
      await expect(refused).rejects.toMatchObject({ argument: 'payload', issues: [{ path: [] }] });
      await app.client.resumeHook(token, '3');
      expect(await handle.result()).toBe(3);
    });

    it('drops a bad payload of another process, records it in the history, and lets the hook wait on', async () => {
      const token = 'checked when it is taken';
      const handle = await app.client.start(Fussy, token);
      await suspended(handle.runId);
      const other = await startApplication(database.url, [], { worker: false });
      await other.client.resumeHook(token, 'many');
      const [event] = await waitFor(async () => {
        const events = await database.query(
          `SELECT step_key, data FROM durable.workflow_run_log WHERE run_id = $1 AND kind = 'payload_dropped'`,
          [handle.runId],
        );
        return events.length > 0 ? events : undefined;
      });
      expect(event).toMatchObject({ step_key: 'hook.wait', data: { name: 'InvalidInputError' } });
      expect(await database.query(`SELECT FROM durable.workflow_inbox WHERE run_id = $1`, [handle.runId])).toEqual([]);
      await suspended(handle.runId);
      await other.client.resumeHook(token, '5');
      expect(await handle.result()).toBe(5);
      await other.close();
    });

    it('records only about a hundred bad payloads in the history', async () => {
      const token = 'flooded with what does not fit';
      const handle = await app.client.start(Fussy, token);
      await suspended(handle.runId);
      const other = await startApplication(database.url, [], { worker: false });
      for (let wave = 0; wave < 20; wave++) await Promise.all(Array.from({ length: 20 }, () => other.client.resumeHook(token, 'many')));
      const counts = async (): Promise<Record<string, number>> => {
        const rows = await database.query<{ kind: string; count: number }>(
          `SELECT kind, count(*)::int FROM durable.workflow_run_log WHERE run_id = $1 GROUP BY kind
          UNION ALL SELECT 'inbox', count(*)::int FROM durable.workflow_inbox WHERE run_id = $1`,
          [handle.runId],
        );
        return Object.fromEntries(rows.map(({ kind, count }) => [kind, count]));
      };
      await waitFor(async () => (await counts())['inbox'] === 0, { timeoutMs: 30_000 });
      const { payload_dropped: dropped, hook_resumed: resumed } = await counts();
      expect(dropped).toBeGreaterThanOrEqual(100);
      expect(dropped).toBeLessThan(250);
      expect(resumed).toBeLessThanOrEqual(dropped!);
      await other.client.resumeHook(token, '5');
      expect(await handle.result({ timeout: seconds(45) })).toBe(5);
      await other.close();
    });
  });
});
