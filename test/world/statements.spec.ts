import { afterAll, afterEach, beforeAll, describe, expect, it, jest } from '@jest/globals';
import { setImmediate } from 'node:timers/promises';
import pg from 'pg';

import { Database } from '../../src/store/database.js';
import type { NewWorldEvent, QueueHandler, World, WorldOptions } from '../../src/world/index.js';
import { forgetClaim } from '../../src/world/queue/claims.js';
import { type ClaimedMessage, MessageStore } from '../../src/world/store/message-store.js';
import { createTestDatabase, type TestDatabase } from '../support/database.js';
import { waitFor } from '../support/wait.js';
import { bytes, createTestWorld, deliverTo, newId, refusalOf, serve, startRun, type ServedRoutes } from './support/test-world.js';

const QUEUE = '__wkf_workflow_test';

interface Plan {
  readonly 'Relation Name'?: string;
  readonly 'Actual Rows': number;
  readonly 'Actual Loops': number;
  readonly 'Rows Removed by Filter'?: number;
  readonly Plans?: Plan[];
}

/** Number of rows of a table that a plan has read. */
function readOf(plan: Plan, table: string): number {
  const own = (plan['Actual Rows'] + (plan['Rows Removed by Filter'] ?? 0)) * plan['Actual Loops'];
  return (plan['Relation Name'] === table ? own : 0) + (plan.Plans ?? []).reduce((sum, each) => sum + readOf(each, table), 0);
}

describe('statements of a World', () => {
  let database: TestDatabase;
  let world: World;
  let routes: ServedRoutes;
  let close: (() => Promise<void>) | undefined;

  beforeAll(async () => {
    database = await createTestDatabase();
  });

  afterAll(() => database.drop());

  afterEach(async () => {
    jest.restoreAllMocks();
    await close?.();
    await database.query('TRUNCATE durable_world.world_messages');
  });

  /** Starts a World that does not look for messages while a test lasts. */
  const start = async (handler: QueueHandler, options: WorldOptions = {}): Promise<void> => {
    const given = { databaseUrl: database.url, pollIntervalMs: 3_600_000, recoverAfterMs: 3_600_000, ...options };
    const { mock } = jest.spyOn(MessageStore.prototype, 'claim');
    ({ world, routes, close } = await deliverTo('stable', given, handler));
    // During a look for messages, the poller reserves no room. So the first look must have ended.
    const first = await waitFor(() => mock.results[0]);
    await first.value;
    await setImmediate();
    jest.restoreAllMocks();
  };
  /** Returns a function that lists the World's statements from now on. */
  const record = (): (() => string[]) => {
    const { mock } = jest.spyOn(Database.prototype, 'query');
    // The recovery looks for lost runs once in a while.
    return () => mock.calls.map(([{ name }]) => name).filter((name) => name.startsWith('world_') && name !== 'world_find_lost_runs');
  };
  const event = (eventType: string, eventData?: Record<string, unknown>, correlationId?: string): NewWorldEvent => ({
    eventType,
    specVersion: 3,
    ...(correlationId === undefined ? {} : { correlationId }),
    ...(eventData === undefined ? {} : { eventData }),
  });
  const consumed = (): Promise<boolean> =>
    waitFor(async () => (await database.query('SELECT FROM durable_world.world_messages')).length === 0);

  it('store a message with the lease of its delivery, and remove it, and nothing else', async () => {
    await start(() => Promise.resolve());
    const names = record();
    await world.queue(QUEUE, { runId: newId() });
    await waitFor(() => names().includes('world_delete_message'));
    expect(names()).toEqual(['world_enqueue', 'world_delete_message']);
  });

  it('claim messages that another process has stored, and read nothing again', async () => {
    await start(() => Promise.resolve(), { pollIntervalMs: 50 });
    const names = record();
    await database.query(
      `INSERT INTO durable_world.world_messages (message_id, queue, deployment_id, body, due_at, created_at)
       VALUES ('msg_other', '${QUEUE}', 'default', '{}', now(), now())`,
    );
    await waitFor(() => names().includes('world_delete_message'));
    expect([...new Set(names())]).toEqual(['world_claim_messages', 'world_delete_message']);
  });

  it('take a message once for the request of its delivery', async () => {
    const messages: unknown[] = [];
    let finish = (): void => undefined;
    const gate = new Promise<void>((resolve) => (finish = resolve));
    await start((message) => {
      messages.push(message);
      return gate;
    });
    await world.queue(QUEUE, { runId: newId() });
    await waitFor(() => messages.length === 1);
    const [headers] = routes.headers as Record<string, string>[];
    const repeated = fetch(`${routes.url}/.well-known/workflow/v1/flow`, {
      method: 'POST',
      headers: { 'x-durable-message': headers!['x-durable-message']!, 'x-durable-lease': headers!['x-durable-lease']! },
    });
    const status = await Promise.race([repeated.then((response) => response.status), waitFor(() => messages.length === 2)]);
    finish();
    expect(status).toBe(401);
    await consumed();
  });

  it('take a message from the database when its request reaches another process', async () => {
    const messages: unknown[] = [];
    const other = createTestWorld('stable', { databaseUrl: database.url });
    const handle = other.createQueueHandler('__wkf_workflow_', (message) => {
      messages.push(message);
      return Promise.resolve();
    });
    const elsewhere = await serve((request) => {
      // A process that has not sent the request knows nothing of it.
      forgetClaim({ lease: request.headers.get('x-durable-lease')! } as ClaimedMessage);
      return handle(request);
    });
    try {
      await start(() => Promise.reject(new Error('the wrong process')), { baseUrl: elsewhere.url });
      const names = record();
      await world.queue(QUEUE, { runId: 'wrun_elsewhere' });
      await consumed();
      expect(messages).toEqual([{ runId: 'wrun_elsewhere' }]);
      expect(names()).toEqual(['world_enqueue', 'world_take_message', 'world_delete_message']);
    } finally {
      await other.close();
      await elsewhere.close();
    }
  });

  it('deliver no more messages at once than the World may, and then those that wait', async () => {
    let running = 0;
    let most = 0;
    let delivered = 0;
    const gates: (() => void)[] = [];
    await start(
      async () => {
        most = Math.max(most, ++running);
        await new Promise<void>((resolve) => gates.push(resolve));
        running--;
        delivered++;
      },
      { concurrency: 2 },
    );
    await Promise.all(Array.from({ length: 6 }, () => world.queue(QUEUE, { runId: newId() })));
    await waitFor(() => running === 2);
    await waitFor(() => {
      gates.shift()?.();
      return delivered === 6;
    });
    expect(most).toBe(2);
  });

  it('neither lock nor write a run that runs already when a replay starts it', async () => {
    await start(() => Promise.resolve());
    const runId = await startRun(world);
    const version = (): Promise<unknown[]> => database.query('SELECT xmin, xmax FROM durable_world.world_runs WHERE run_id = $1', [runId]);
    const before = await version();
    const names = record();
    const { run, events } = await world.events.create(runId, event('run_started'));
    expect(run).toMatchObject({ status: 'running', input: bytes(1, 2, 3) });
    expect(events!.map(({ eventType }) => eventType)).toEqual(['run_created', 'run_started']);
    expect(names()).toEqual(['world_start_run', 'world_list_events_all_ASC']);
    jest.restoreAllMocks();
    expect(await version()).toEqual(before);
  });

  it('end a run with one statement', async () => {
    await start(() => Promise.resolve());
    const runId = await startRun(world);
    const names = record();
    await world.events.create(runId, event('run_completed', { output: bytes(1) }));
    expect(names()).toEqual(['world_end_run']);
  });

  it('end the hook that is made while the end of the run waits', async () => {
    await start(() => Promise.resolve());
    const runId = await startRun(world);
    const holder = new pg.Client({ connectionString: database.url });
    await holder.connect();
    try {
      await holder.query('BEGIN');
      await holder.query('SELECT FROM durable_world.world_runs WHERE run_id = $1 FOR UPDATE', [runId]);
      const waiting = (count: number): Promise<boolean> =>
        waitFor(
          async () =>
            (await database.query(`SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'`))
              .length === count,
        );
      const made = world.events.create(runId, event('hook_created', { token: runId }, 'hook_1'));
      await waiting(1);
      const ended = world.events.create(runId, event('run_completed', { output: bytes(1) }));
      await waiting(2);
      await holder.query('COMMIT');
      await Promise.all([made, ended]);
      expect(await refusalOf(world.hooks.getByToken(runId))).toEqual({ name: 'HookNotFoundError' });
    } finally {
      await holder.end();
    }
  });

  it('read the payloads of the listed steps, and none where none are asked for', async () => {
    await start(() => Promise.resolve());
    const runId = await startRun(world);
    for (let index = 0; index < 60; index++) {
      const step = `step_${index}`;
      await world.events.create(runId, event('step_created', { stepName: 's', input: bytes(1) }, step));
      await world.events.create(runId, event('step_completed', { result: bytes(2) }, step));
    }
    await database.query(
      `INSERT INTO durable_world.world_events (run_id, slot, type, created_at) SELECT 'wrun_other', n, 'noop', now() FROM generate_series(1, 20000) n`,
    );
    await database.query('ANALYZE durable_world.world_events, durable_world.world_steps');
    /** Number of events that a listing reads. */
    const eventsRead = async (resolveData: 'all' | 'none'): Promise<number> => {
      const { mock } = jest.spyOn(Database.prototype, 'query');
      const { data } = await world.steps.list({ runId, resolveData });
      expect(data.map(({ input, output }) => [input, output])).toEqual(
        Array.from({ length: 20 }, () => (resolveData === 'all' ? [bytes(1), bytes(2)] : [undefined, undefined])),
      );
      const [statement, values] = mock.calls.find(([{ name }]) => name.startsWith('world_list_steps'))!;
      jest.restoreAllMocks();
      const [row] = await database.query<{ 'QUERY PLAN': [{ Plan: Plan }] }>(
        `EXPLAIN (ANALYZE, FORMAT JSON) ${statement.text('durable_world', '')}`,
        values,
      );
      return readOf(row!['QUERY PLAN'][0].Plan, 'world_events');
    };
    expect(await eventsRead('all')).toBeGreaterThan(0);
    // A merge looks at the first event, and finds no step that needs one.
    expect(await eventsRead('none')).toBeLessThanOrEqual(1);
  });
});
