import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import pg from 'pg';

import {
  durableMigrations,
  InvalidInputError,
  NonRetryableError,
  Workflow,
  type ListOptions,
  type RunFilter,
  type WorkflowClient,
  type WorkflowContext,
} from '../../../src/index.js';
import { closeApplications, startApplication } from '../../support/application.js';
import { createTestDatabase, type TestDatabase } from '../../support/database.js';
import { seconds, waitFor } from '../../support/wait.js';

class CardDeclined extends Error {
  readonly code = 'CARD_DECLINED';
}

type Kind = 'completes' | 'declined' | 'declined twice' | 'out of stock' | 'wraps' | 'gives up' | 'sleeps' | 'times out' | 'unstorable';

@Workflow({ name: 'order', version: 3, queue: 'orders', retry: { maxAttempts: 1 } })
class OrderWorkflow {
  async run(kind: Kind, ctx: WorkflowContext): Promise<unknown> {
    const declined = () => {
      throw new CardDeclined('insufficient funds');
    };
    if (kind === 'sleeps') await ctx.sleep('1 day');
    if (kind === 'declined') await ctx.step('charge', declined);
    if (kind === 'declined twice') {
      await ctx.step('charge', declined).catch(() => undefined);
      await ctx.step('charge', declined);
    }
    if (kind === 'out of stock') throw Object.assign(new Error('no apples'), { name: 'OutOfStock' });
    if (kind === 'wraps') {
      await ctx.step('ship', { key: 'apple' }, declined).catch((cause: unknown) => {
        throw new NonRetryableError('no use', { cause });
      });
    }
    if (kind === 'gives up') throw new NonRetryableError('nobody approved');
    if (kind === 'times out') await ctx.step('slow', { timeout: 1 }, () => new Promise(() => undefined));
    if (kind === 'unstorable') return () => 'a function';
    return 'done';
  }
}

@Workflow({ name: 'invoice' })
class InvoiceWorkflow {
  async run(): Promise<void> {}
}

const ids = async (client: WorkflowClient, filter: ListOptions): Promise<string[]> => {
  const { runs } = await client.list(filter);
  return runs.map(({ runId }) => runId).toSorted();
};

describe('a listing of runs', () => {
  let database: TestDatabase;
  let client: WorkflowClient;
  beforeAll(async () => {
    database = await createTestDatabase();
    // A run that failed before the columns for error code and failed step existed.
    const [First] = durableMigrations;
    await database.query(First!.upSql('durable'));
    await database.query(
      `INSERT INTO durable.workflow_runs (id, name, queue, status, created_at, finished_at, start_nonce, version, input, error)
       VALUES ('old', 'ancient', 'old', 'failed', now() - interval '2 days', now() - interval '1 day', 1, 1, '1', '{"name":"Error","message":"x"}')`,
    );
    ({ client } = await startApplication(database.url, [OrderWorkflow, InvoiceWorkflow], { worker: { suspendAfter: 20 } }));
    const kinds: Kind[] = ['completes', 'declined', 'declined twice', 'out of stock', 'wraps', 'gives up', 'times out', 'unstorable'];
    for (const kind of kinds) await client.start(OrderWorkflow, kind, { id: kind, tags: { kind, customer: '7' } });
    await client.start(OrderWorkflow, 'sleeps', { id: 'sleeps', priority: 5, tags: { kind: 'sleeps' } });
    await client.start(InvoiceWorkflow, undefined, { id: 'invoice', tags: { customer: '7' } });
    await client.start('order', 'completes', { id: 'later', delay: '1h' });
    await client.start('order', 'completes', { id: 'never', delay: '1h' });
    await client.cancel('never');
    for (const kind of [...kinds, 'invoice']) {
      await client
        .getHandle(kind)
        .result({ timeout: seconds(30) })
        .catch(() => undefined);
    }
    await waitFor(async () => (await client.status('sleeps')) === 'waiting');
  });
  afterAll(async () => {
    await closeApplications();
    await database.drop();
  });

  it('shows the newest run first, and count agrees', async () => {
    const { runs, cursor } = await client.list();
    const order = ['never', 'later', 'invoice', 'sleeps', 'unstorable', 'times out', 'gives up', 'wraps', 'out of stock'];
    expect(runs.map(({ runId }) => runId)).toEqual([...order, 'declined twice', 'declined', 'completes', 'old']);
    expect(cursor).toBeUndefined();
    expect(await client.count()).toBe(13);
    expect(await client.count({})).toBe(13);
  });

  it('shows all properties of a run except payloads', async () => {
    const { runs } = await client.list({ tags: { kind: 'sleeps' } });
    expect(runs).toEqual([
      {
        runId: 'sleeps',
        blocked: false,
        continuedAs: undefined,
        name: 'order',
        version: 3,
        queue: 'orders',
        priority: 5,
        status: 'waiting',
        tags: { kind: 'sleeps' },
        createdAt: expect.any(Date),
        startedAt: expect.any(Date),
        finishedAt: undefined,
        wakeAt: expect.any(Date),
        cancelRequestedAt: undefined,
        errorCode: undefined,
        failedStep: undefined,
        parentRunId: undefined,
        batchId: undefined,
        isBatch: false,
        waitingFor: undefined,
      },
    ]);
    const { createdAt, startedAt, wakeAt } = await client.describe('sleeps');
    expect(runs[0]).toMatchObject({ createdAt, startedAt, wakeAt });
  });

  it.each<[id: string, code: string | undefined, step: string | undefined]>([
    ['declined', 'CARD_DECLINED', 'charge'],
    ['declined twice', 'CARD_DECLINED', 'charge'],
    ['out of stock', 'OutOfStock', undefined],
    ['wraps', 'CARD_DECLINED', 'ship'],
    ['gives up', 'NON_RETRYABLE', undefined],
    ['times out', 'STEP_TIMEOUT', 'slow'],
    ['unstorable', 'SERIALIZATION', undefined],
    ['completes', undefined, undefined],
    ['never', undefined, undefined],
    ['old', undefined, undefined],
  ])('shows run "%s" with error code %s and failed step %s', async (id, errorCode, failedStep) => {
    const { runs } = await client.list();
    expect(runs.find(({ runId }) => runId === id)).toMatchObject({ errorCode, failedStep });
  });

  it.each<[RunFilter, string[]]>([
    [{ name: 'invoice' }, ['invoice']],
    [{ name: ['invoice', 'ancient'] }, ['invoice', 'old']],
    [{ name: 'nobody' }, []],
    [{ queue: 'orders', status: 'waiting' }, ['sleeps']],
    [{ version: 0 }, ['later', 'never']],
    [{ version: [3, 0], status: ['waiting', 'cancelled'] }, ['later', 'never', 'sleeps']],
    [{ tags: { customer: '7' }, status: 'completed' }, ['completes', 'invoice']],
    [{ tags: { customer: '7', kind: 'wraps' } }, ['wraps']],
    [{ tags: { customer: '7', kind: 'sleeps' } }, []],
    [{ errorCode: 'CARD_DECLINED' }, ['declined', 'declined twice', 'wraps']],
    [{ errorCode: ['OutOfStock', 'NON_RETRYABLE'] }, ['gives up', 'out of stock']],
    [{ errorCode: 'STEP_FAILED' }, []],
    [{ failedStep: 'charge' }, ['declined', 'declined twice']],
    [{ failedStep: ['ship', 'slow'], errorCode: 'STEP_TIMEOUT' }, ['times out']],
    [{ failedStep: 'charge', status: 'completed' }, []],
    [{ finishedBefore: new Date(Date.now() - 3_600_000) }, ['old']],
    [{ createdBefore: new Date(Date.now() - 3_600_000), createdAfter: new Date(Date.now() - 3 * 86_400_000) }, ['old']],
    [{ finishedAfter: new Date(Date.now() - 3_600_000), status: 'cancelled' }, ['never']],
  ])('shows only the runs that meet %j, and count agrees', async (filter, expected) => {
    expect(await ids(client, filter)).toEqual(expected);
    expect(await client.count(filter)).toBe(expected.length);
  });

  it('groups failures by error code, the most frequent first', async () => {
    const groups = await client.failures({ since: '1h', groupBy: 'errorCode' });
    expect(groups.map(({ count }) => count)).toEqual([3, 1, 1, 1, 1]);
    const codes = ['CARD_DECLINED', 'NON_RETRYABLE', 'OutOfStock', 'SERIALIZATION', 'STEP_TIMEOUT'];
    expect(groups.map(({ errorCode }) => String(errorCode)).toSorted()).toEqual(codes);
    const [most] = groups;
    expect(most).toMatchObject({ workflow: undefined, failedStep: undefined, exampleRunId: 'wraps' });
    const finished = await Promise.all(['declined', 'declined twice', 'wraps'].map(async (id) => (await client.describe(id)).finishedAt!));
    expect([most!.firstAt, most!.lastAt]).toEqual([
      new Date(Math.min(...finished.map(Number))),
      new Date(Math.max(...finished.map(Number))),
    ]);
  });

  it('groups failures by several fields at once, over any period', async () => {
    const everything = await client.failures({ since: new Date(0), groupBy: ['workflow', 'errorCode', 'failedStep'] });
    expect(everything).toHaveLength(7);
    expect(everything[0]).toMatchObject({ workflow: 'order', errorCode: 'CARD_DECLINED', failedStep: 'charge', count: 2 });
    expect(everything).toContainEqual(
      expect.objectContaining({ workflow: 'ancient', errorCode: undefined, count: 1, exampleRunId: 'old' }),
    );
    expect(await client.failures({ since: 0, groupBy: 'workflow' })).toEqual([]);
    expect(await client.failures({ since: '1h', groupBy: 'workflow', limit: 1 })).toMatchObject([{ workflow: 'order', count: 7 }]);
  });

  it('groups failures by version and by the hour in UTC', async () => {
    await database.query(`UPDATE durable.workflow_runs SET finished_at = '2026-01-05T10:59:59.999Z' WHERE id = 'old'`);
    await database.query(`INSERT INTO durable.workflow_runs (id, name, queue, status, created_at, finished_at, start_nonce, version, input)
      SELECT 'old ' || at, 'ancient', 'old', 'failed', at, at, 1, 1, '1' FROM unnest(ARRAY['2026-01-05 10:00Z', '2026-01-05 09:59Z']::timestamptz[]) AS at`);
    const groups = await client.failures({ since: new Date(0), groupBy: ['version', 'hour'] });
    expect(groups.filter(({ version }) => version === 1)).toMatchObject([
      { hour: new Date('2026-01-05T10:00:00Z'), count: 2, workflow: undefined },
      { hour: new Date('2026-01-05T09:00:00Z'), count: 1 },
    ]);
    expect(groups.filter(({ version }) => version === 3).reduce((sum, { count }) => sum + count, 0)).toBe(7);
    await database.query(`DELETE FROM durable.workflow_runs WHERE id LIKE 'old %'`);
  });

  it('accepts a cursor only with the same filter, whose fields may be in another order', async () => {
    const { cursor } = await client.list({ status: ['failed', 'waiting'], name: 'order', limit: 2 });
    const rest = await client.list({ name: ['order'], status: ['waiting', 'failed', 'failed'], cursor, limit: 1_000 });
    expect(rest.runs).toHaveLength(7);
    for (const other of [{}, { name: 'order' }, { name: 'order', status: 'failed' }, { tags: { name: 'order' } }] as ListOptions[]) {
      const error = await client.list({ ...other, cursor }).catch((thrown: unknown) => thrown);
      expect(error).toBeInstanceOf(InvalidInputError);
      expect(error).toMatchObject({ argument: 'filter.cursor', message: expect.stringContaining('another filter') });
    }
  });

  it('does not delay starts and executions while it waits for a lock', async () => {
    const locker = new pg.Client({ connectionString: database.url });
    await locker.connect();
    try {
      await locker.query('BEGIN; LOCK TABLE durable.workflow_tags IN ACCESS EXCLUSIVE MODE');
      let answered = 0;
      const listings = Array.from({ length: 8 }, () => client.list({ tags: { customer: '7' } }).finally(() => answered++));
      await waitFor(async () => {
        const [row] = await database.query(
          `SELECT count(*)::int AS n FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()`,
        );
        return row.n > 0;
      });
      const handles = await Promise.all(Array.from({ length: 20 }, () => client.start(InvoiceWorkflow)));
      await Promise.all(handles.map((handle) => handle.result({ timeout: seconds(30) })));
      expect(answered).toBe(0);
      await locker.query('COMMIT');
      expect((await Promise.all(listings)).map(({ runs }) => runs.length)).toEqual(Array(8).fill(9));
    } finally {
      await locker.end();
    }
  });
});
