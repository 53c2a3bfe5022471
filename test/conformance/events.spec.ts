import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { DataSource } from 'typeorm';

import { defineEvent, Workflow, workflowRef, type EventOf, type WorkflowContext } from '../../src/index.js';
import { closeApplications, startApplication, type TestApplication } from '../support/application.js';
import { createTestDatabase, type TestDatabase } from '../support/database.js';
import { waitFor } from '../support/wait.js';
import { configured } from './configured.js';

interface Paid {
  orderId: string;
  cents: number;
}
const orderPaid = defineEvent<Paid>('order.paid', { key: (event) => event.orderId });
const orderShipped = defineEvent<{ orderId: string; seen: number }>('order.shipped', { key: (event) => event.orderId });
const tick = defineEvent('tick');

@Workflow({ name: 'awaits-payment' })
class AwaitsPayment {
  async run(input: { orderId: string; count?: number; timeout?: number }, ctx: WorkflowContext): Promise<(number | null)[]> {
    const cents: (number | null)[] = [];
    for (let n = 0; n < (input.count ?? 1); n++) {
      const { orderId: key, timeout } = input;
      const paid = timeout === undefined ? await ctx.waitForEvent(orderPaid, { key }) : await ctx.waitForEvent(orderPaid, { key, timeout });
      cents.push(paid?.cents ?? null);
    }
    return cents;
  }
}

@Workflow({ name: 'large-payments' })
class AwaitsLargePayment {
  async run(input: { orderId: string; cents: number }, ctx: WorkflowContext): Promise<Paid> {
    return ctx.waitForEvent(orderPaid, { key: input.orderId, where: { cents: input.cents } });
  }
}

@Workflow({ name: 'awaits-now' })
class AwaitsNow {
  async run(orderId: string, ctx: WorkflowContext): Promise<number> {
    return (await ctx.waitForEvent(orderPaid, { key: orderId, since: 'now' })).cents;
  }
}

@Workflow({ name: 'races' })
class Races {
  async run(orderId: string, ctx: WorkflowContext): Promise<string[]> {
    const first = await ctx.race({
      paid: () => ctx.waitForEvent(orderPaid, { key: orderId }),
      late: () => ctx.sleep(1),
    });
    const later = await ctx.waitForEvent(orderPaid, { key: orderId });
    return [first.key, String(later.cents)];
  }
}

@Workflow({ name: 'both-payments' })
class AwaitsBoth {
  async run(orderId: string, ctx: WorkflowContext): Promise<number[]> {
    const both = await Promise.all([ctx.waitForEvent(orderPaid, { key: orderId }), ctx.waitForEvent(orderPaid, { key: orderId })]);
    return both.map(({ cents }) => cents).sort((a, b) => a - b);
  }
}

@Workflow({ name: 'continues' })
class Continues {
  async run(input: { orderId: string; left: number; cents: number[] }, ctx: WorkflowContext): Promise<number[]> {
    const { cents } = await ctx.waitForEvent(orderPaid, { key: input.orderId });
    const all = [...input.cents, cents];
    if (input.left > 1) return ctx.continueAsNew(Continues, { ...input, left: input.left - 1, cents: all });
    return all;
  }
}

const shipped = new Map<string, number>();

@Workflow({ name: 'receipt', on: orderShipped })
class Receipt {
  async run(event: EventOf<typeof orderShipped>, ctx: WorkflowContext): Promise<string> {
    await ctx.step('count', () => void shipped.set(event.orderId, (shipped.get(event.orderId) ?? 0) + 1));
    return `receipt of ${event.orderId}`;
  }
}

@Workflow({
  name: 'second-look',
  on: [
    { event: orderShipped, where: { seen: 2 } },
    { event: orderShipped, id: 'third', where: { seen: 3 } },
  ],
})
class SecondLook {
  async run(event: EventOf<typeof orderShipped>): Promise<number> {
    return event.seen;
  }
}

@Workflow({ name: 'ticks' })
class Ticks {
  async run(_input: void, ctx: WorkflowContext): Promise<true> {
    return ctx.waitForEvent(tick, { since: 'now' });
  }
}

@Workflow({ name: 'ships' })
class Ships {
  async run(orderId: string, ctx: WorkflowContext): Promise<void> {
    await ctx.emit(orderShipped, { orderId, seen: 1 });
  }
}

const completed = defineEvent<{ status: string }>('run.completed', { key: () => '' });

@Workflow({ name: 'watches' })
class WatchesCompletion {
  async run(runId: string, ctx: WorkflowContext): Promise<string> {
    return (await ctx.waitForEvent(completed, { key: runId })).status;
  }
}

const opened = defineEvent<number>('opened');
const OPENED_WORKFLOWS = Array.from({ length: 50 }, (_, index) => {
  @Workflow({ name: `opened-${index}`, on: opened })
  class Opened {
    async run(shift: EventOf<typeof opened>): Promise<number> {
      return shift + index;
    }
  }
  return Opened;
});

const WORKFLOWS = [
  ...OPENED_WORKFLOWS,
  WatchesCompletion,
  AwaitsPayment,
  AwaitsLargePayment,
  AwaitsNow,
  Races,
  AwaitsBoth,
  Continues,
  Receipt,
  SecondLook,
  Ticks,
  Ships,
];

describe('events', () => {
  let database: TestDatabase;
  let app: TestApplication;
  beforeAll(async () => {
    database = await createTestDatabase();
    app = await startApplication(database.url, WORKFLOWS, {
      ...configured(),
      worker: { suspendAfter: 50 },
      events: { runEvents: ['run.completed'] },
    });
  });
  afterAll(async () => {
    await closeApplications();
    await database.drop();
  });

  const waitsOf = (runId: string): Promise<{ event_seq: string | null; event_armed: boolean | null }[]> =>
    database.query("SELECT event_seq, event_armed FROM durable.workflow_waits WHERE run_id = $1 AND kind = 'event'", [runId]);

  it('resume the run that waits for the event and its key, and no other', async () => {
    const { client } = app;
    const mine = await client.start(AwaitsPayment, { orderId: 'a1' });
    const other = await client.start(AwaitsPayment, { orderId: 'a2' });
    await waitFor(async () => (await waitsOf(mine.runId)).length > 0 && (await waitsOf(other.runId)).length > 0);
    await client.emit(orderPaid, { orderId: 'a1', cents: 900 });
    expect(await mine.result()).toEqual([900]);
    expect(await other.status()).not.toBe('completed');
    expect((await other.describe()).waitingFor).toMatchObject([{ kind: 'event', name: 'order.paid' }]);
    await client.emit(orderPaid, { orderId: 'a2', cents: 1 });
    expect(await other.result()).toEqual([1]);
  });

  it('resume a suspended run', async () => {
    const handle = await app.client.start(AwaitsPayment, { orderId: 'suspended' });
    await waitFor(async () => (await handle.status()) === 'waiting');
    await app.client.emit(orderPaid, { orderId: 'suspended', cents: 2 });
    expect(await handle.result()).toEqual([2]);
  });

  it('that happened since the start of the run meet its waits in their order, each once', async () => {
    const handle = await app.client.start(AwaitsPayment, { orderId: 'past', count: 5 }, { delay: 200 });
    for (let cents = 0; cents < 5; cents++) await app.client.emit(orderPaid, { orderId: 'past', cents });
    expect(await handle.result()).toEqual([0, 1, 2, 3, 4]);
  });

  it('from before the start of the run do not meet its waits', async () => {
    await app.client.emit(orderPaid, { orderId: 'before', cents: 1 });
    const handle = await app.client.start(AwaitsPayment, { orderId: 'before' });
    await waitFor(async () => (await waitsOf(handle.runId))[0]?.event_armed);
    await app.client.emit(orderPaid, { orderId: 'before', cents: 2 });
    expect(await handle.result()).toEqual([2]);
  });

  it('with the same id are one event', async () => {
    const handle = await app.client.start(AwaitsPayment, { orderId: 'once', count: 2 });
    await Promise.all(Array.from({ length: 5 }, () => app.client.emit(orderPaid, { orderId: 'once', cents: 1 }, { id: 'evt_once' })));
    await app.client.emit(orderPaid, { orderId: 'once', cents: 2 }, { id: 'evt_two' });
    expect(await handle.result()).toEqual([1, 2]);
  });

  it('fit the condition of a wait, or are left for other waits', async () => {
    const handle = await app.client.start(AwaitsLargePayment, { orderId: 'where', cents: 70 });
    for (const cents of [10, 70]) await app.client.emit(orderPaid, { orderId: 'where', cents });
    expect(await handle.result()).toEqual({ orderId: 'where', cents: 70 });
    const late = await app.client.start(AwaitsLargePayment, { orderId: 'where-late', cents: 170 }, { delay: 100 });
    for (let cents = 50; cents <= 170; cents++) await app.client.emit(orderPaid, { orderId: 'where-late', cents });
    expect(await late.result()).toEqual({ orderId: 'where-late', cents: 170 });
  });

  it('leave a wait with a timeout empty-handed when they do not happen', async () => {
    const handle = await app.client.start(AwaitsPayment, { orderId: 'never', timeout: 100 });
    expect(await handle.result()).toEqual([null]);
  });

  it('are kept for the next wait when the first one has lost its race', async () => {
    const handle = await app.client.start(Races, 'race');
    await waitFor(async () => (await handle.steps()).some(({ stepKey }) => stepKey.startsWith('sleep')));
    await app.client.emit(orderPaid, { orderId: 'race', cents: 5 });
    expect(await handle.result()).toEqual(['late', '5']);
  });

  it('go to different waits of one run', async () => {
    const handle = await app.client.start(AwaitsBoth, 'both');
    await Promise.all([1, 2].map((cents) => app.client.emit(orderPaid, { orderId: 'both', cents })));
    expect(await handle.result()).toEqual([1, 2]);
  });

  it('reach each run of a chain once, also those that happen between two runs', async () => {
    const handle = await app.client.start(Continues, { orderId: 'chain', left: 4, cents: [] });
    for (let cents = 1; cents <= 4; cents++) await app.client.emit(orderPaid, { orderId: 'chain', cents });
    expect(await handle.result()).toEqual([1, 2, 3, 4]);
  });

  it('start the workflows that have subscribed, once per event id', async () => {
    for (let n = 0; n < 3; n++) await app.client.emit(orderShipped, { orderId: 's1', seen: 1 }, { id: 'shipped-1' });
    const handle = app.client.getHandle(workflowRef<unknown, string>('receipt'), 'receipt:order.shipped:shipped-1');
    expect(await waitFor(() => handle.result({ timeout: '1s' }))).toBe('receipt of s1');
    expect(shipped.get('s1')).toBe(1);
    expect(await database.query("SELECT id FROM durable.workflow_runs WHERE id LIKE 'second-look:%'")).toEqual([]);
    await app.client.emit(orderShipped, { orderId: 's3', seen: 3 }, { id: 'shipped-3' });
    const third = app.client.getHandle(workflowRef<unknown, number>('second-look'), 'second-look:order.shipped:shipped-3:third');
    expect(await waitFor(() => third.result({ timeout: '1s' }))).toBe(3);
  });

  it('start fifty workflows, each once', async () => {
    const { client } = app;
    for (let n = 0; n < 2; n++) await client.emit(opened, 1_000, { id: 'door' });
    const idOf = (index: number): string => `opened-${index}:opened:door`;
    for (let index = 0; index < OPENED_WORKFLOWS.length; index++) {
      const handle = client.getHandle(workflowRef<unknown, number>(`opened-${index}`), idOf(index));
      expect(await waitFor(() => handle.result({ timeout: '1s' }))).toBe(1_000 + index);
    }
    await waitFor(async () => (await client.events.list({ event: opened })).events[0]?.dispatchedAt);
    const started = await database.query<{ n: number }>("SELECT count(*)::int AS n FROM durable.workflow_runs WHERE name LIKE 'opened-%'");
    expect(started).toEqual([{ n: OPENED_WORKFLOWS.length }]);
  });

  it('that a run emits start and resume other runs', async () => {
    const handle = await app.client.start(Ships, 's2');
    await handle.result();
    const [emitted] = await database.query<{ id: string }>(`SELECT id FROM durable.workflow_events WHERE emitter_run_id = $1`, [
      handle.runId,
    ]);
    const receipt = app.client.getHandle(
      workflowRef<unknown, string>('receipt'),
      `receipt:order.shipped:${emitted!.id.replaceAll(':', '%3A')}`,
    );
    expect(await waitFor(() => receipt.result({ timeout: '1s' }))).toBe('receipt of s2');
  });

  it('are listed by name and key in pages, and start a later subscriber when they are delivered again', async () => {
    const { client } = app;
    for (let seen = 1; seen <= 5; seen++) await client.emit(orderShipped, { orderId: 'listed', seen: seen * 10 }, { id: `listed-${seen}` });
    const seen: number[] = [];
    let cursor: string | undefined;
    do {
      const page = await client.events.list({ event: orderShipped, key: 'listed', limit: 2, ...(cursor === undefined ? {} : { cursor }) });
      seen.push(...page.events.map(({ payload }) => (payload as { seen: number }).seen));
      ({ cursor } = page);
    } while (cursor !== undefined);
    expect(seen).toEqual([50, 40, 30, 20, 10]);
    const all = await client.events.list({ limit: 1 });
    expect(all).toMatchObject({ events: [{ happenedAt: expect.any(Date) }], cursor: expect.any(String) });
    expect((await client.events.list({ id: 'listed-3' })).events).toMatchObject([{ id: 'listed-3', payload: { seen: 30 } }]);

    await waitFor(async () => (await client.events.list({ id: 'listed-1' })).events[0]?.dispatchedAt);
    await database.query(
      `INSERT INTO durable.workflow_event_subscriptions VALUES ('order.shipped', 'ships-again', '', '{"seen":10}', 'default', now())`,
    );
    await client.events.redeliver(orderShipped, 'listed-1');
    await client.events.redeliver('order.shipped', 'listed-2');
    await waitFor(() => client.describe('ships-again:order.shipped:listed-1'));
    await waitFor(async () => (await client.events.list({ id: 'listed-2' })).events[0]?.dispatchedAt);
    expect(await client.list({ name: 'ships-again' })).toMatchObject({ runs: [{ runId: 'ships-again:order.shipped:listed-1' }] });
    await expect(client.events.redeliver(orderShipped, 'unknown')).rejects.toMatchObject({ code: 'EVENT_NOT_FOUND' });
    await expect(client.events.list({ key: 'listed' })).rejects.toThrow('filter.key');
    await expect(client.events.list({ cursor: 'x' })).rejects.toThrow('filter.cursor');
  });

  it('tell that a run has completed, when the module emits run events', async () => {
    const watcher = await app.client.start(WatchesCompletion, 'watched');
    await waitFor(async () => (await waitsOf(watcher.runId))[0]?.event_armed);
    await app.client.execute(AwaitsPayment, { orderId: 'nobody', timeout: 1 }, { id: 'watched' });
    expect(await watcher.result()).toBe('completed');
  });

  it('without a payload are received as true', async () => {
    const handles = await Promise.all(Array.from({ length: 3 }, () => app.client.start(Ticks)));
    for (const { runId } of handles) await waitFor(async () => (await waitsOf(runId))[0]?.event_armed);
    await app.client.emit(tick);
    expect(await Promise.all(handles.map((handle) => handle.result()))).toEqual([true, true, true]);
  });

  describe('in a transaction of the caller', () => {
    let source: DataSource;
    beforeAll(async () => {
      source = await new DataSource({ type: 'postgres', url: database.url }).initialize();
    });
    afterAll(() => source.destroy());

    it('happen when the transaction commits, and never when it rolls back', async () => {
      const handle = await app.client.start(AwaitsPayment, { orderId: 'tx', count: 1 });
      await source
        .transaction(async (manager) => {
          await app.client.emit(orderPaid, { orderId: 'tx', cents: 1 }, { manager });
          throw new Error('taken back');
        })
        .catch(() => undefined);
      await source.transaction((manager) => app.client.emit(orderPaid, { orderId: 'tx', cents: 2 }, { manager }));
      expect(await handle.result()).toEqual([2]);
    });

    it('meet a wait that is stored while the transaction is open, also one that counts from now on', async () => {
      for (let round = 0; round < 10; round++) {
        const orderId = `held-${round}`;
        let stored!: () => void;
        const isStored = new Promise<void>((resolve) => (stored = resolve));
        let emitted!: () => void;
        const isEmitted = new Promise<void>((resolve) => (emitted = resolve));
        const transaction = source.transaction(async (manager) => {
          await app.client.emit(orderPaid, { orderId, cents: round }, { manager });
          emitted();
          await isStored;
        });
        await isEmitted;
        const handle = await app.client.start(AwaitsNow, orderId);
        await waitFor(async () => (await waitsOf(handle.runId))[0]?.event_armed);
        stored();
        await transaction;
        expect(await handle.result()).toBe(round);
      }
    });
  });

  it('are refused when an argument is invalid, and nothing is written', async () => {
    const { client } = app;
    const promised = defineEvent<Paid>('promised', { key: (async () => Promise.reject(new Error('no key'))) as never });
    await expect(client.emit(promised, { orderId: 'x', cents: 1 })).rejects.toMatchObject({ code: 'INVALID_INPUT' });
    const throwing = defineEvent<Paid>('throwing', {
      key: () => {
        throw new Error('no key');
      },
    });
    await expect(client.emit(throwing, { orderId: 'x', cents: 1 })).rejects.toThrow('key of event "throwing"');
    await expect(client.emit('order.paid' as never, {} as never)).rejects.toThrow('defineEvent');
    await expect(client.emit(orderPaid, { orderId: 'x', cents: 1 }, { idd: 'x' } as never)).rejects.toThrow('options.idd');
    expect(() => defineEvent('order#2')).toThrow('name of the event');
    expect(() => defineEvent('order', { key: 'id' as never })).toThrow('options.key');
    // Run events of earlier tests may be emitted meanwhile.
    expect(await database.query(`SELECT name FROM durable.workflow_events WHERE key = 'x' OR name IN ('promised', 'throwing')`)).toEqual(
      [],
    );
  });
});
