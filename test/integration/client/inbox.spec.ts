import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { DataSource } from 'typeorm';

import { defineSignal, InboxFullError, Workflow, type WorkflowClient, type WorkflowContext } from '../../../src/index.js';
import { closeApplications, startApplication } from '../../support/application.js';
import { createTestDatabase, type TestDatabase } from '../../support/database.js';
import { waitFor } from '../../support/wait.js';

const first = defineSignal<number>('first');
const second = defineSignal<number>('second');

let open: () => void;
let gate: Promise<void>;
const shut = (): void => void (gate = new Promise((resolve) => (open = resolve)));

/** Executes a step until the gate opens, and then takes `count` of the first signal. */
@Workflow({ name: 'takes' })
class Takes {
  async run(count: number, ctx: WorkflowContext): Promise<number[]> {
    await ctx.step('busy', () => gate);
    const got: number[] = [];
    while (got.length < count) got.push(await ctx.waitForSignal(first));
    return got;
  }
}

/** Takes two of the second signal, and then `count` of the first, which arrive earlier. */
@Workflow({ name: 'picks' })
class Picks {
  async run(count: number, ctx: WorkflowContext): Promise<number[]> {
    const got = [await ctx.waitForSignal(second), await ctx.waitForSignal(second)];
    while (got.length < count + 2) got.push(await ctx.waitForSignal(first));
    return got;
  }
}

let database: TestDatabase;
let client: WorkflowClient;
beforeAll(async () => {
  database = await createTestDatabase();
  shut();
  ({ client } = await startApplication(database.url, [Takes, Picks]));
});
afterAll(async () => {
  open();
  await closeApplications();
  await database.drop();
});

const upTo = (count: number): number[] => Array.from({ length: count }, (_, index) => index);

describe('the inbox of a run', () => {
  it('delivers a signal that is committed after the run took a signal with a larger id', async () => {
    const outside = await new DataSource({ type: 'postgres', url: database.url }).initialize();
    const runner = outside.createQueryRunner();
    await runner.startTransaction();
    const handle = await client.start(Picks, 1);
    await client.signal(handle.runId, second, 1, { manager: runner.manager });
    await handle.signal(second, 2);
    await waitFor(async () => (await client.steps(handle.runId)).length === 1);
    await runner.commitTransaction();
    await waitFor(async () => (await client.steps(handle.runId)).length === 2);
    await handle.signal(first, 3);
    expect(await handle.result()).toEqual([2, 1, 3]);
    await outside.destroy();
  });

  it('delivers an awaited signal that is behind hundreds of other messages', async () => {
    const handle = await client.start(Picks, 300);
    for (const n of upTo(300)) await handle.signal(first, n);
    await handle.signal(second, -2);
    await waitFor(async () => (await client.steps(handle.runId)).length === 1);
    await handle.signal(second, -1);
    expect(await handle.result()).toEqual([-2, -1, ...upTo(300)]);
    expect(await database.query('SELECT 1 FROM durable.workflow_inbox WHERE run_id = $1', [handle.runId])).toEqual([]);
  });

  it('refuses signals while it is full, and accepts signals again when it has room', async () => {
    shut();
    const handle = await client.start(Takes, 2);
    const place = (n: number, at: number) =>
      database.query(
        `INSERT INTO durable.workflow_inbox (run_id, kind, name, payload, place, total) VALUES ($1, 'signal', 'first', $2, $3, $3)`,
        [handle.runId, n, at],
      );
    await place(0, 1);
    await place(1, 10_001);
    let refused: unknown;
    // One in eight signals checks the size of the inbox.
    for (let tries = 0; tries < 200 && !refused; tries++)
      refused = await handle.signal(second, tries).then(
        () => undefined,
        (error: unknown) => error,
      );
    expect(refused).toBeInstanceOf(InboxFullError);
    expect(refused).toMatchObject({ code: 'INBOX_FULL', runId: handle.runId });
    // Once the inbox was found full, every signal checks its size.
    await expect(handle.signal(second, 0)).rejects.toBeInstanceOf(InboxFullError);
    await database.query(`DELETE FROM durable.workflow_inbox WHERE run_id = $1 AND place = 1`, [handle.runId]);
    await handle.signal(second, 1);
    open();
    await handle.cancel();
  });
});
