import { afterEach, beforeEach, describe, expect, it, jest } from '@jest/globals';

import { NonRetryableError, Workflow, defineSignal, type WorkflowContext } from '../../../src/index.js';
import { Database } from '../../../src/store/database.js';
import { closeApplications, startApplication } from '../../support/application.js';
import { createTestDatabase, type TestDatabase } from '../../support/database.js';
import { seconds, waitFor } from '../../support/wait.js';

const bodies: string[] = [];
let isBroken = true;
const poke = defineSignal<number>('poke');

@Workflow({ name: 'kid' })
class KidWorkflow {
  async run(input: number, ctx: WorkflowContext): Promise<number> {
    await ctx.step('work', () => new Promise((resolve) => setTimeout(resolve, 40)));
    return input;
  }
}

@Workflow({ name: 'parent' })
class ParentWorkflow {
  async run({ children, maxInFlight }: { children: number; maxInFlight: number }, ctx: WorkflowContext): Promise<number> {
    const inputs = Array.from({ length: children }, (_, index) => index);
    const results = await ctx.invokeMany(KidWorkflow, inputs, { maxInFlight });
    return results.length;
  }
}

@Workflow({ name: 'listener' })
class ListenerWorkflow {
  async run(count: number, ctx: WorkflowContext): Promise<number[]> {
    const heard: number[] = [];
    for (let index = 0; index < count; index++) {
      heard.push(await ctx.waitForSignal(poke));
      await ctx.step(`note-${index}`, () => void bodies.push(`note-${index}`));
    }
    if (await ctx.step('check', () => isBroken)) throw new NonRetryableError('broken');
    return heard;
  }
}

@Workflow({ name: 'unlucky' })
class UnluckyWorkflow {
  async run(_input: void, ctx: WorkflowContext): Promise<string[]> {
    const first = await ctx.step('first', () => 'first');
    await ctx.sleep(50);
    const second = await ctx.step('second', { retry: { maxAttempts: 10, initialInterval: '1h' } }, (): string => {
      throw new Error('not yet');
    });
    return [first, second];
  }
}

describe('a run that waits many times', () => {
  let database: TestDatabase;
  let loaded = 0;
  beforeEach(async () => {
    database = await createTestDatabase();
    loaded = 0;
    bodies.splice(0);
    isBroken = true;
    const original = Database.prototype.query;
    jest.spyOn(Database.prototype, 'query').mockImplementation(async function (this: Database, ...args: Parameters<Database['query']>) {
      const rows = await original.apply(this, args);
      if (args[0].name.startsWith('durable_load_')) loaded += rows.length;
      return rows;
    });
  });
  afterEach(async () => {
    jest.restoreAllMocks();
    await closeApplications();
    await database.drop();
  });

  const providers = [KidWorkflow, ParentWorkflow, ListenerWorkflow, UnluckyWorkflow];
  const start = (deploymentId = 'one'): ReturnType<typeof startApplication> =>
    startApplication(database.url, providers, { worker: { suspendAfter: 10 }, deploymentId });
  const isParked = (id: string, waits: number): Promise<unknown> =>
    waitFor(async () => {
      const [row] = await database.query(
        `SELECT status, (SELECT count(*)::int FROM durable.workflow_waits w WHERE w.run_id = r.id) AS waits FROM durable.workflow_runs r WHERE id = $1`,
        [id],
      );
      return row.status === 'waiting' && row.waits === waits;
    });

  it.each([
    [20, 1],
    [60, 1],
    [60, 60],
  ])('loads fewer than three rows for each of its %d children (%d at a time)', async (children, maxInFlight) => {
    const { client } = await start();
    expect(await client.execute(ParentWorkflow, { children, maxInFlight })).toBe(children);
    expect(loaded).toBeLessThan(3 * children);
  });

  it('loads each step once per process when two processes claim it in turn', async () => {
    const [{ client }] = await Promise.all([start(), start()]);
    expect(await client.execute(ParentWorkflow, { children: 60, maxInFlight: 1 })).toBe(60);
    // Either process loads each step once, and each claim loads one wait.
    expect(loaded).toBeLessThan(4 * 60);
  });

  it('replays what another process recorded since this process last executed it', async () => {
    const [{ client }] = await Promise.all([start('one'), start('two')]);
    // One process executes the run at a time: the first, then the second, then the first, which
    // still has the beginning in memory.
    await client.start(ListenerWorkflow, 6, { id: 'travelling', delay: 300 });
    const letOnly = (other: string): Promise<unknown> =>
      database.query(`UPDATE durable.workflow_runs SET blocked_deployments = ARRAY[$1] WHERE id = 'travelling'`, [other]);
    await letOnly('two');
    for (let index = 0; index < 6; index++) {
      await isParked('travelling', 1);
      await letOnly(index === 2 || index === 3 ? 'one' : 'two');
      if (index === 5) isBroken = false;
      await client.signal('travelling', poke, index);
      await waitFor(() => bodies.length === index + 1);
    }
    expect(await client.getHandle(ListenerWorkflow, 'travelling').result({ timeout: seconds(30) })).toEqual([0, 1, 2, 3, 4, 5]);
    expect(bodies).toEqual(['note-0', 'note-1', 'note-2', 'note-3', 'note-4', 'note-5']);
    // The second process loads all rows of the first part. The first process loads the rows of the
    // second part. Both load waits.
    expect(loaded).toBeLessThan(20);
  });

  it('begins a retry without the steps that the retry removed', async () => {
    const { client } = await start();
    await client.start(ListenerWorkflow, 2, { id: 'retried' });
    for (let index = 0; index < 2; index++) {
      await isParked('retried', 1);
      await client.signal('retried', poke, index);
      await waitFor(() => bodies.length === index + 1);
    }
    await expect(client.getHandle(ListenerWorkflow, 'retried').result()).rejects.toThrow('broken');
    isBroken = false;
    await client.retry('retried', { fromStep: 'note-1' });
    expect(await client.getHandle(ListenerWorkflow, 'retried').result({ timeout: seconds(30) })).toEqual([0, 1]);
    expect(bodies).toEqual(['note-0', 'note-1', 'note-1']);
  });

  it('continues with the result that an operator gave one of its steps', async () => {
    const { client } = await start();
    await client.start(UnluckyWorkflow, undefined, { id: 'resolved' });
    await waitFor(
      async () => (await database.query(`SELECT 1 FROM durable.workflow_waits WHERE run_id = 'resolved' AND kind = 'retry'`)).length > 0,
    );
    await isParked('resolved', 1);
    await client.resolveStep('resolved', 'second', { output: 'by hand' });
    expect(await client.getHandle(UnluckyWorkflow, 'resolved').result({ timeout: seconds(30) })).toEqual(['first', 'by hand']);
  });

  it('starts with an empty history under the id of a deleted run', async () => {
    const { client } = await start();
    await client.start(ListenerWorkflow, 3, { id: 'again' });
    for (let index = 0; index < 2; index++) {
      await isParked('again', 1);
      await client.signal('again', poke, index);
      await waitFor(() => bodies.length === index + 1);
    }
    await isParked('again', 1);
    for (const table of ['runs', 'steps', 'waits', 'inbox', 'run_log']) {
      await database.query(`DELETE FROM durable.workflow_${table} WHERE ${table === 'runs' ? 'id' : 'run_id'} = 'again'`);
    }
    bodies.splice(0);
    isBroken = false;
    const handle = await client.start(ListenerWorkflow, 1, { id: 'again' });
    await isParked('again', 1);
    await client.signal('again', poke, 7);
    expect(await handle.result({ timeout: seconds(30) })).toEqual([7]);
    expect(bodies).toEqual(['note-0']);
  });
});
