import v8 from 'node:v8';

import { afterEach, beforeEach, describe, expect, it, jest } from '@jest/globals';

import { Workflow, defineSignal, type WorkflowContext } from '../../../src/index.js';
import { closeApplications, startApplication } from '../../support/application.js';
import { createTestDatabase, type TestDatabase } from '../../support/database.js';
import { seconds, waitFor } from '../../support/wait.js';

const MIB = 1 << 20;
/** A promise that the body of "hold" waits for, until the test opens the gate. */
let gate: Promise<void> | undefined;
let openGate: () => void = () => undefined;
const proceed = defineSignal<boolean>('proceed');

@Workflow({ name: 'hoarder' })
class HoarderWorkflow {
  async run({ mebibytes, waits }: { mebibytes: number; waits: boolean }, ctx: WorkflowContext): Promise<number> {
    let total = 0;
    for (let index = 0; index < mebibytes; index++) total += (await ctx.step('load', () => 'x'.repeat(MIB))).length;
    if (waits) await ctx.waitForSignal(proceed);
    await ctx.step('hold', () => gate);
    return total;
  }
}

describe('the history of a run', () => {
  let database: TestDatabase;
  beforeEach(async () => {
    database = await createTestDatabase();
    gate = undefined;
  });
  afterEach(async () => {
    openGate();
    jest.restoreAllMocks();
    await closeApplications();
    await database.drop();
  });

  /** Sets the size of the heap; a history may have a quarter of that size. */
  const limitHeap = (mebibytes: number): void => {
    jest.spyOn(v8, 'getHeapStatistics').mockReturnValue({ ...v8.getHeapStatistics(), heap_size_limit: mebibytes * MIB });
  };
  const close = (): void => void (gate = new Promise((resolve) => (openGate = resolve)));
  const runOf = async (id: string): Promise<{ status: string; is_blocked: boolean }> => {
    const [row] = await database.query('SELECT status, is_blocked FROM durable.workflow_runs WHERE id = $1', [id]);
    return row;
  };
  const isWaiting = (id: string): Promise<unknown> =>
    waitFor(async () => (await runOf(id)).status === 'waiting', { message: `"${id}" to wait` });
  const start = (): ReturnType<typeof startApplication> =>
    startApplication(database.url, [HoarderWorkflow], { worker: { suspendAfter: 10 } });
  const reasonOf = async (id: string): Promise<string> => {
    const [row] = await database.query(
      `SELECT data->>'message' AS message FROM durable.workflow_run_log WHERE run_id = $1 AND kind = 'blocked'`,
      [id],
    );
    return row.message;
  };

  it('is not loaded when it exceeds the bound: its run is blocked with both sizes, and other runs continue', async () => {
    const { client } = await start();
    await client.start(HoarderWorkflow, { mebibytes: 5, waits: true }, { id: 'large' });
    await isWaiting('large');
    limitHeap(16);
    await client.signal('large', proceed, true);
    await waitFor(async () => (await runOf('large')).is_blocked);
    expect(await reasonOf('large')).toMatch(/run "large" has 5\.0 MiB, and this process can load 4\.0 MiB/);
    expect(await client.execute(HoarderWorkflow, { mebibytes: 1, waits: false })).toBe(MIB);

    jest.restoreAllMocks();
    await database.query(`UPDATE durable.workflow_runs SET status = 'pending', ready_at = now(), is_blocked = false, blocked_deployments = NULL
      WHERE id = 'large' AND status = 'waiting' AND is_blocked`);
    expect(await client.getHandle(HoarderWorkflow, 'large').result({ timeout: seconds(45) })).toBe(5 * MIB);
  });

  it('is measured before it is loaded when the run was lost with its worker', async () => {
    const { client } = await start();
    await client.start(HoarderWorkflow, { mebibytes: 5, waits: true }, { id: 'lost' });
    await isWaiting('lost');
    limitHeap(16);
    // A worker that dies in the run's first pass leaves the row like this.
    await database.query(`UPDATE durable.workflow_runs SET history_bytes = 0, worker_losses = 1 WHERE id = 'lost'`);
    await client.signal('lost', proceed, true);
    await waitFor(async () => (await runOf('lost')).is_blocked);
    expect(await reasonOf('lost')).toContain('5.0 MiB');
  });

  it('is loaded later when it does not fit beside the histories of executing runs', async () => {
    close();
    const { client } = await start();
    for (const id of ['first', 'second']) await client.start(HoarderWorkflow, { mebibytes: 3, waits: true }, { id });
    await Promise.all(['first', 'second'].map(isWaiting));
    limitHeap(16);
    await client.signal('first', proceed, true);
    await waitFor(async () => (await runOf('first')).status === 'running');
    await client.signal('second', proceed, true);
    await waitFor(async () => (await database.query(`SELECT 1 FROM durable.workflow_runs WHERE id = 'second' AND epoch >= 3`)).length > 0);
    expect((await runOf('second')).is_blocked).toBe(false);
    expect((await runOf('first')).status).toBe('running');
    openGate();
    for (const id of ['first', 'second'])
      expect(await client.getHandle(HoarderWorkflow, id).result({ timeout: seconds(45) })).toBe(3 * MIB);
  });
});
