import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';

import { defineEvent, Workflow, type Batch, type EventOf, type PayloadCodec, type WorkflowContext } from '../../../src/index.js';
import { closeApplications, startApplication, type TestApplication } from '../../support/application.js';
import { createTestDatabase, type TestDatabase } from '../../support/database.js';
import { waitFor } from '../../support/wait.js';

const paid = defineEvent<{ orderId: string; cents: number }>('paid', { key: ({ orderId }) => orderId });
const shared = defineEvent<number>('shared');

@Workflow({ name: 'receiver' })
class Receiver {
  async run(_input: void, ctx: WorkflowContext): Promise<number> {
    return ctx.waitForEvent(shared);
  }
}

@Workflow({ name: 'payer' })
class Payer {
  async run(orderId: string, ctx: WorkflowContext): Promise<number> {
    return (await ctx.waitForEvent(paid, { key: orderId, where: { cents: 5 } })).cents;
  }
}

@Workflow({ name: 'started', on: [{ event: paid, where: { orderId: 'start' } }] })
class Started {
  async run(event: EventOf<typeof paid>): Promise<number> {
    return event.cents;
  }
}

@Workflow({
  name: 'keyed',
  on: [{ event: paid, where: { cents: 77 } }],
  queueKey: ({ orderId }: EventOf<typeof paid>) => {
    if (orderId === 'refused') throw new Error('no key for this order');
    return `key of ${orderId}`;
  },
})
class Keyed {
  async run(event: EventOf<typeof paid>): Promise<string> {
    return event.orderId;
  }
}

@Workflow({
  name: 'also-keyed',
  on: [{ event: paid, where: { cents: 77 } }],
  queueKey: ({ orderId }: EventOf<typeof paid>) => `also ${orderId}`,
})
class AlsoKeyed extends Keyed {}

@Workflow({ name: 'batched', on: [{ event: paid, where: { cents: 77 } }], batch: { size: 10, wait: '10ms' } })
class Batched {
  async run(events: Batch<EventOf<typeof paid>>): Promise<string[]> {
    return events.map(({ orderId }) => orderId);
  }
}

/** Codec that cannot decode payloads which contain `broken`. */
class Fragile implements PayloadCodec {
  decodes = 0;
  encode(payload: Uint8Array): Uint8Array {
    return payload;
  }
  decode(stored: Uint8Array): Uint8Array {
    if (!Buffer.from(stored).includes('broken')) return stored;
    this.decodes++;
    throw new Error('unknown key');
  }
}

describe('the dispatcher of events', () => {
  let database: TestDatabase;
  beforeAll(async () => {
    database = await createTestDatabase();
  });
  afterAll(() => database.drop());
  afterEach(() => closeApplications());
  beforeEach(() =>
    database.query('TRUNCATE durable.workflow_events, durable.workflow_event_subscriptions, durable.workflow_runs').catch(() => undefined),
  );

  const undispatched = async (): Promise<number> =>
    Number((await database.query<{ n: string }>('SELECT count(*) AS n FROM durable.workflow_events WHERE dispatched_at IS NULL'))[0]!.n);

  async function boot(
    providers: Parameters<typeof startApplication>[1],
    options: Parameters<typeof startApplication>[2] = {},
  ): Promise<TestApplication> {
    return startApplication(database.url, providers, { worker: { suspendAfter: 20 }, ...options });
  }

  it('resumes 1,000 runs with one event', async () => {
    const { client } = await boot([Receiver]);
    const handles = await client.startMany(
      Receiver,
      Array.from({ length: 1_000 }, () => undefined),
    );
    const armed = 'SELECT count(*)::int AS n FROM durable.workflow_waits WHERE event_armed';
    await waitFor(async () => (await database.query<{ n: number }>(armed))[0]!.n === 1_000);
    await client.emit(shared, 42);
    expect(new Set(await Promise.all(handles.map((handle) => handle.result())))).toEqual(new Set([42]));
    await waitFor(async () => (await undispatched()) === 0);
    expect(await database.query('SELECT 1 FROM durable.workflow_inbox')).toEqual([]);
  });

  it('starts a workflow whose class only another process has', async () => {
    const worker = await boot([Started]);
    await worker.close();
    const other = await boot([Receiver], { worker: { suspendAfter: 20, queues: ['other'] } });
    await other.client.emit(paid, { orderId: 'start', cents: 1 }, { id: 'e1' });
    await waitFor(() => other.client.describe('started:paid:e1'));
    expect(await other.client.getHandle('started:paid:e1').status()).toBe('pending');
    const again = await boot([Started]);
    expect(await again.client.getHandle('started:paid:e1').result()).toBe(1);
  });

  it('gives runs the queue key of their workflow, which only a process with the class can compute', async () => {
    const worker = await boot([Keyed]);
    // The function of the class throws for this event, which is then no obstacle to later events.
    await worker.client.emit(paid, { orderId: 'refused', cents: 77 }, { id: 'k1' });
    await worker.client.emit(paid, { orderId: 'a', cents: 77 }, { id: 'k2' });
    await waitFor(async () => (await undispatched()) === 0);
    await worker.close();
    const other = await boot([Receiver]);
    await other.client.emit(paid, { orderId: 'b', cents: 77 }, { id: 'k3' });
    await waitFor(async () => (await undispatched()) === 0);
    const shown = async (): Promise<unknown> => (await other.client.events.list({ event: paid, id: 'k3' })).events[0]!.dispatchedAt;
    // The event waits for a process with the class, and counts as not dispatched.
    expect(await shown()).toBeUndefined();
    expect((await other.client.health()).undispatched.events).toBe(1);
    expect(await other.client.count({ name: 'keyed' })).toBe(1);
    await boot([Keyed]);
    await waitFor(async () => (await other.client.status('keyed:paid:k3')) === 'completed');
    await waitFor(async () => (await shown()) !== undefined);
    expect((await other.client.health()).undispatched.events).toBe(0);
    expect(await database.query(`SELECT id, queue_key FROM durable.workflow_runs WHERE name = 'keyed' ORDER BY id`)).toEqual([
      { id: 'keyed:paid:k2', queue_key: 'key of a' },
      { id: 'keyed:paid:k3', queue_key: 'key of b' },
    ]);
  });

  it('starts runs of keyed workflows whose classes are in different processes, each once', async () => {
    const apps = [await boot([Keyed]), await boot([AlsoKeyed])];
    const ids = Array.from({ length: 40 }, (_, index) => `both-${index}`);
    await Promise.all(ids.map((id, index) => apps[index % 2]!.client.emit(paid, { orderId: id, cents: 77 }, { id })));
    const { client } = apps[0]!;
    for (const name of ['keyed', 'also-keyed'])
      for (const id of ids) await waitFor(async () => (await client.status(`${name}:paid:${id}`).catch(() => '')) === 'completed');
    await waitFor(async () => (await client.health()).undispatched.events === 0);
    const keys = await database.query<{ key: string }>(
      `SELECT DISTINCT split_part(queue_key, '-', 1) AS key FROM durable.workflow_runs ORDER BY 1`,
    );
    expect(keys.map(({ key }) => key)).toEqual(['also both', 'key of both']);
  });

  it('collects a batch from events that a process without the class has dispatched', async () => {
    const worker = await boot([Batched]);
    await worker.close();
    const other = await boot([Receiver]);
    await other.client.emit(paid, { orderId: 'b', cents: 77 }, { id: 'b1' });
    await waitFor(async () => (await undispatched()) === 0);
    await boot([Batched]);
    await waitFor(async () => (await other.client.status('batched:paid:b1')) === 'completed');
    const member = await other.client.describe('batched:paid:b1');
    expect(member.output).toBe('b');
    expect(member.batchId).toBeDefined();
  });

  it('keeps an event that waits for a class beyond the retention, and redelivers it', async () => {
    const subscription = `INSERT INTO durable.workflow_event_subscriptions (event, workflow, id, condition, queue, needs_class, confirmed_at)
      VALUES ('paid', 'keyed', '', '', 'default', true, now())`;
    const { client } = await boot([Receiver], { events: { retention: '1 day' } });
    await database.query(subscription);
    await client.emit(paid, { orderId: 'late', cents: 77 }, { id: 'late' });
    await waitFor(async () => (await undispatched()) === 0);
    await database.query(`UPDATE durable.workflow_events SET happened_at = happened_at - interval '2 days'`);
    await client.events.redeliver(paid, 'late');
    await waitFor(async () => (await undispatched()) === 0);
    await boot([Keyed], { events: { retention: '1 day' } });
    await waitFor(async () => (await client.status('keyed:paid:late')) === 'completed');
    await waitFor(async () => (await client.events.list()).events.length === 0);
  });

  it('leaves events for later while no process executes runs, which client.health() shows', async () => {
    const emitter = await boot([], { worker: false });
    await emitter.client.emit(shared, 1);
    await emitter.client.emit(shared, 2);
    const oldestEmittedAt = (await emitter.client.events.list()).events.at(-1)!.emittedAt;
    expect((await emitter.client.health()).undispatched).toEqual({ events: 2, oldestEmittedAt });
    await boot([Started]);
    await waitFor(async () => (await emitter.client.health()).undispatched.events === 0);
    expect((await emitter.client.health()).undispatched).toEqual({ events: 0, oldestEmittedAt: undefined });
  });

  it('removes a subscription that the code no longer has, once no process has confirmed it for some time', async () => {
    const insert = (condition: string, age: string): Promise<unknown> =>
      database.query(
        `INSERT INTO durable.workflow_event_subscriptions VALUES ('paid', 'started', '', $1, 'default', now() - $2::interval)`,
        [condition, age],
      );
    const { client } = await boot([Started]);
    await insert('{"orderId":"old"}', '1 hour');
    await insert('{"orderId":"recent"}', '1 minute');
    await client.emit(paid, { orderId: 'old', cents: 1 }, { id: 'old' });
    await client.emit(paid, { orderId: 'recent', cents: 1 }, { id: 'recent' });
    await waitFor(async () => (await undispatched()) === 0);
    expect((await client.list({ name: 'started' })).runs.map(({ runId }) => runId)).toEqual(['started:paid:recent']);
    expect(await database.query('SELECT condition FROM durable.workflow_event_subscriptions ORDER BY 1')).toEqual([
      { condition: '{"orderId":"recent"}' },
      { condition: '{"orderId":"start"}' },
    ]);
  });

  it('leaves out an event whose payload cannot be read, which keeps no other event from its waits', async () => {
    const codec = new Fragile();
    const { client } = await boot([Payer], { payloads: { codec } });
    await client.emit(paid, { orderId: 'p', cents: 5, note: 'broken' } as never);
    const handle = await client.start(Payer, 'p');
    await client.emit(paid, { orderId: 'p', cents: 4, note: 'broken' } as never);
    await client.emit(paid, { orderId: 'p', cents: 5 });
    expect(await handle.result()).toBe(5);
    await waitFor(async () => (await undispatched()) === 0);
    // The dispatcher and the wait look at each of the two events at most once.
    expect(codec.decodes).toBeLessThanOrEqual(2);
  });

  it('looks for the events of a wait whose process has died before it had looked', async () => {
    const { client } = await boot([Receiver]);
    const handle = await client.start(Receiver);
    await waitFor(async () => (await handle.status()) === 'waiting');
    // The process has looked once, and marks the wait after that.
    const armed = 'SELECT 1 FROM durable.workflow_waits WHERE run_id = $1 AND event_armed';
    await waitFor(async () => (await database.query(armed, [handle.runId])).length === 1);
    // The state that a process leaves which died between the two statements.
    await database.query(`INSERT INTO durable.workflow_events (name, id, payload, dispatched_at) VALUES ('shared', 'missed', '7', now())`);
    await database.query(`UPDATE durable.workflow_waits SET event_armed = NULL, opened_at = opened_at - interval '1 minute'`);
    expect(await handle.result({ timeout: '60s' })).toBe(7);
  });

  it('removes events after the retention, but none that was not dispatched', async () => {
    const { client } = await boot([Receiver], { events: { retention: '1 day' } });
    await client.emit(shared, 1, { id: 'old' });
    await client.emit(shared, 2, { id: 'new' });
    await waitFor(async () => (await undispatched()) === 0);
    await database.query(`UPDATE durable.workflow_events SET happened_at = happened_at - interval '2 days' WHERE id = 'old'`);
    await waitFor(async () => (await client.events.list()).events.length === 1);
    expect((await client.events.list()).events).toMatchObject([{ id: 'new', payload: 2 }]);
  });

  it('removes events after the retention although many older ones wait for a class', async () => {
    const { client } = await boot([Receiver], { events: { retention: '1 day' } });
    await database.query(`INSERT INTO durable.workflow_events (name, id, payload, dispatched_at, happened_at, waits_for)
      SELECT 'shared', n::text, '0', now(), now() - interval '3 days', '{gone}' FROM generate_series(1, 1000) AS n`);
    await client.emit(shared, 1, { id: 'old' });
    await waitFor(async () => (await undispatched()) === 0);
    await database.query(`UPDATE durable.workflow_events SET happened_at = happened_at - interval '2 days' WHERE id = 'old'`);
    await waitFor(async () => (await client.events.list({ id: 'old' })).events.length === 0);
    expect(await database.query('SELECT count(*)::int AS kept FROM durable.workflow_events')).toEqual([{ kept: 1000 }]);
  });
});
