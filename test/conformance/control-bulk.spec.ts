import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';

import { Payloads } from '../../src/core/payloads.js';
import { defineSignal, Workflow, type BulkStatus, type WorkflowContext, type WorkflowHandle } from '../../src/index.js';
import { BulkOperationsSweep } from '../../src/maintenance/bulk-operations-sweep.js';
import { PeriodicSweep } from '../../src/maintenance/periodic-sweep.js';
import { Database } from '../../src/store/database.js';
import { closeApplications, startApplication, type TestApplication } from '../support/application.js';
import { createTestDatabase, type TestDatabase } from '../support/database.js';
import { quietNotifier } from '../support/faults/requests.js';
import { waitFor } from '../support/wait.js';

const go = defineSignal<{ n: number }>('go');
let broken = true;
let log: string[] = [];

@Workflow({ name: 'breaks' })
class Breaks {
  async run(_input: void, ctx: WorkflowContext): Promise<string> {
    return ctx.step('charge', { retry: { maxAttempts: 1 } }, () => {
      log.push(ctx.runId);
      if (broken) throw Object.assign(new Error('declined'), { code: 'DECLINED' });
      return 'charged';
    });
  }
}

@Workflow({ name: 'waits' })
class Waits {
  async run(_input: void, ctx: WorkflowContext): Promise<{ n: number }> {
    return ctx.waitForSignal(go);
  }
}

describe('a bulk operation', () => {
  let app: TestApplication;
  let database: TestDatabase;
  beforeAll(async () => {
    database = await createTestDatabase();
    app = await startApplication(database.url, [Breaks, Waits], { worker: { suspendAfter: 20 } });
  });
  beforeEach(() => {
    broken = true;
    log = [];
  });
  afterAll(async () => {
    await closeApplications();
    await database.drop();
  });

  const fail = async (count: number, batch: string): Promise<WorkflowHandle<string>[]> => {
    const handles = await app.client.startMany(Breaks, Array.from<void>({ length: count }), { tags: { batch } });
    await Promise.all(handles.map((handle) => expect(handle.result()).rejects.toThrow('declined')));
    log = [];
    return handles;
  };
  const suspend = async (count: number, batch: string): Promise<WorkflowHandle<{ n: number }>[]> => {
    const handles = await app.client.startMany(Waits, Array.from<void>({ length: count }), { tags: { batch } });
    await waitFor(async () => (await app.client.count({ tags: { batch }, status: 'waiting' })) === count, {
      timeoutMs: 30_000,
      message: 'the runs to wait',
    });
    return handles;
  };
  const completed = (token: string): Promise<BulkStatus> =>
    waitFor(
      async () => {
        const status = await app.client.bulk.status(token);
        return status.state === 'completed' ? status : undefined;
      },
      { timeoutMs: 90_000, message: 'the operation to be completed' },
    );

  it('counts its runs, and changes no run before its token is used', async () => {
    const handles = await fail(3, 'count');
    const { count, token } = await app.client.bulk.retry({ filter: { tags: { batch: 'count' } }, dryRun: true });
    expect(count).toBe(3);
    expect(await app.client.bulk.status(token)).toMatchObject({ kind: 'retry', state: 'counted', count: 3, done: 0 });
    expect(await app.client.count({ tags: { batch: 'count' }, status: 'failed' })).toBe(handles.length);
  });

  it('retries each failed run once when its token is used twice', async () => {
    const handles = await fail(130, 'retry');
    const { token } = await app.client.bulk.retry({ filter: { tags: { batch: 'retry' } }, dryRun: true, actor: 'ann', reason: 'mended' });
    await app.client.bulk.retry({ token });
    await app.client.bulk.retry({ token });
    expect(await completed(token)).toMatchObject({ count: 130, done: 130, skipped: 0 });
    // The runs have failed once more, and are not retried again.
    await Promise.all(handles.map((handle) => expect(handle.result()).rejects.toThrow('declined')));
    expect(log.toSorted()).toEqual(handles.map(({ runId }) => runId).toSorted());
    const [event] = await database.query(`SELECT data FROM durable.workflow_run_log WHERE kind = 'retried' AND run_id = $1`, [
      handles[0]!.runId,
    ]);
    expect(event.data).toEqual({ actor: 'ann', reason: 'mended' });
  });

  it('cancels the runs of its filter that have not ended, and no others', async () => {
    const handles = await suspend(5, 'cancel');
    await handles[0]!.signal(go, { n: 1 });
    await handles[0]!.result();
    const { count, token } = await app.client.bulk.cancel({ filter: { tags: { batch: 'cancel' } }, dryRun: true, reason: 'stop' });
    expect(count).toBe(4);
    const late = await suspend(1, 'cancel late');
    await app.client.bulk.cancel({ token });
    await Promise.all(handles.slice(1).map((handle) => expect(handle.result()).rejects.toThrow('stop')));
    expect(await handles[0]!.result()).toEqual({ n: 1 });
    expect(await completed(token)).toMatchObject({ done: 4 });
    expect(await late[0]!.status()).toBe('waiting');
    await late[0]!.cancel();
  });

  it('sends a signal to its runs', async () => {
    const handles = await suspend(4, 'signal');
    const filter = { tags: { batch: 'signal' } };
    const { token } = await app.client.bulk.signal({ filter, dryRun: true, signal: go, payload: { n: 5 } });
    await app.client.bulk.signal({ token });
    expect(await Promise.all(handles.map((handle) => handle.result()))).toEqual(handles.map(() => ({ n: 5 })));
    expect(await completed(token)).toMatchObject({ done: 4 });
  });

  it('does not change runs that were started after its count', async () => {
    await suspend(1, 'later');
    const { token } = await app.client.bulk.cancel({ filter: { tags: { batch: 'later' } }, dryRun: true });
    const [other] = await app.client.startMany(Waits, [undefined], { tags: { batch: 'later' } });
    await app.client.bulk.cancel({ token });
    expect(await completed(token)).toMatchObject({ count: 1, done: 1 });
    expect(await other!.status()).not.toBe('cancelled');
    await other!.cancel();
  });

  it('changes at most as many runs per second as its rate allows', async () => {
    await suspend(4, 'rate');
    const { token } = await app.client.bulk.cancel({ filter: { tags: { batch: 'rate' } }, dryRun: true });
    await app.client.bulk.cancel({ token, rate: 4 });
    const { startedAt, finishedAt } = await completed(token);
    // After the runs of one second the operation pauses for a second.
    expect(finishedAt!.getTime() - startedAt!.getTime()).toBeGreaterThanOrEqual(950);
  });

  it('changes no further run after it was stopped', async () => {
    const handles = await suspend(6, 'stop');
    const { token } = await app.client.bulk.cancel({ filter: { tags: { batch: 'stop' } }, dryRun: true });
    await app.client.bulk.cancel({ token, rate: 2 });
    await waitFor(async () => (await app.client.bulk.status(token)).done > 0);
    const stopped = await app.client.bulk.stop(token);
    expect(stopped).toMatchObject({ state: 'stopped', count: 6 });
    expect(stopped.done).toBeLessThan(6);
    const [next] = await database.query(
      `SELECT count(*)::int AS n FROM durable.workflow_operations WHERE started_at IS NOT NULL AND finished_at IS NULL`,
    );
    expect(next.n).toBe(0);
    await Promise.all(handles.slice(stopped.done).map((handle) => handle.signal(go, { n: 1 })));
    for (const handle of handles.slice(stopped.done)) await expect(handle.result()).resolves.toEqual({ n: 1 });
    // A second stop changes nothing, and a stop of an unknown operation is refused.
    await expect(app.client.bulk.stop(token)).resolves.toMatchObject({ state: 'stopped' });
    await expect(app.client.bulk.stop('nobody')).rejects.toMatchObject({ argument: 'token' });
  });

  it('refuses an empty filter, an unknown token and other ambiguous options', async () => {
    const { bulk } = app.client;
    const dryRun = true as const;
    await expect(bulk.cancel({ filter: {}, dryRun })).rejects.toMatchObject({ argument: 'options.filter' });
    await expect(bulk.cancel({ filter: { name: undefined }, dryRun })).rejects.toMatchObject({ argument: 'options.filter.name' });
    await expect(bulk.cancel({ filter: { name: 'x' } } as never)).rejects.toMatchObject({ argument: 'options.dryRun' });
    await expect(bulk.retry({ filter: { status: 'completed' }, dryRun })).rejects.toMatchObject({ argument: 'options.filter.status' });
    await expect(bulk.cancel({ token: 'nobody' })).rejects.toMatchObject({ argument: 'options.token' });
    const { token } = await bulk.cancel({ filter: { name: 'nothing' }, dryRun });
    await expect(bulk.retry({ token })).rejects.toMatchObject({ argument: 'options.token' });
    await expect(bulk.cancel({ token, rate: 0 })).rejects.toMatchObject({ argument: 'options.rate' });
    await expect(bulk.cancel({ token, filter: { name: 'x' } } as never)).rejects.toMatchObject({ argument: 'options.filter' });
  });
});

describe('a bulk operation whose worker dies', () => {
  it('continues in another worker after its last part, and signals no run twice', async () => {
    const database = await createTestDatabase();
    const app = await startApplication(database.url, [Waits], { worker: false });
    await app.client.startMany(Waits, Array.from<void>({ length: 250 }), { tags: { batch: 'crash' } });
    const { token } = await app.client.bulk.signal({ filter: { name: 'waits' }, dryRun: true, signal: go, payload: { n: 1 } });
    await app.client.bulk.signal({ token });

    /** Loses its connection when it is about to commit a part of the operation. */
    const dying = new Database({ connectionString: database.url }, { poolSize: 2 });
    const work = dying.query.bind(dying);
    let parts = 0;
    dying.query = (async (statement, values, client) => {
      const rows = await work(statement, values, client);
      if (statement.name === 'durable_advance_operation' && ++parts === 2) {
        await database.query(`SELECT pg_terminate_backend($1)`, [(client as unknown as { processID: number }).processID]);
      }
      return rows;
    }) as typeof dying.query;
    const none = (): void => undefined;
    const serve = (through: Database): PeriodicSweep => {
      const options = { due: none, ended: () => Promise.resolve(), failed: none };
      const sweep = new BulkOperationsSweep(through, new Payloads(1_000_000, undefined), quietNotifier(through), options);
      return new PeriodicSweep(sweep, none);
    };
    const [first, second] = [serve(dying), serve(new Database({ connectionString: database.url }, { poolSize: 2 }))];
    first.start();
    await waitFor(() => parts === 2);
    await first.stop();
    expect(await app.client.bulk.status(token)).toMatchObject({ state: 'running', done: 100 });
    second.start();
    await waitFor(async () => (await app.client.bulk.status(token)).state === 'completed');
    await second.stop();
    expect(await app.client.bulk.status(token)).toMatchObject({ count: 250, done: 250, skipped: 0 });
    const sent = await database.query(`SELECT run_id, count(*)::int FROM durable.workflow_inbox GROUP BY 1 HAVING count(*) = 1`);
    expect(sent).toHaveLength(250);
    await closeApplications();
    await database.drop();
  });
});
