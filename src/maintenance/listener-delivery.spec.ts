import { performance } from 'node:perf_hooks';

import { afterAll, afterEach, beforeAll, describe, expect, it, jest } from '@jest/globals';

import { waitFor } from '../../test/support/wait.js';
import { JournalFixture, type OpenJournal } from '../../test/support/faults/journal-fixture.js';
import { DurableMetrics } from '../core/metrics/durable-metrics.js';
import { Payloads } from '../core/payloads.js';
import type { RunListener } from '../core/run-events.js';
import { ListenerDelivery, type ListenerDeliveryOptions } from './listener-delivery.js';

const LISTENER: RunListener = {
  key: 'Test.on run.failed',
  name: 'Test.on',
  event: 'run.failed',
  workflow: '',
  delivery: 'in process',
  call: () => undefined,
};

describe('the delivery of events to listeners', () => {
  let fixture: JournalFixture;
  let open: OpenJournal;
  let delivery: ListenerDelivery;
  beforeAll(async () => {
    fixture = await JournalFixture.create();
    open = await fixture.journal();
  });
  afterEach(async () => {
    jest.restoreAllMocks();
    await delivery.stop();
  });
  afterAll(() => fixture.close());

  const makeDelivery = (listeners: RunListener[], options: Partial<ListenerDeliveryOptions> = {}): ListenerDelivery =>
    new ListenerDelivery(open.database, listeners, {
      payloads: new Payloads(1_024, undefined),
      metrics: new DurableMetrics(),
      pollIntervalMs: Number.POSITIVE_INFINITY,
      stopTimeoutMs: 1_000,
      startRun: async () => undefined,
      warn: () => undefined,
      failed: () => undefined,
      ...options,
    });
  const deliver = (listener: RunListener, options: Partial<ListenerDeliveryOptions> = {}): ListenerDelivery =>
    (delivery = makeDelivery([listener], options));

  it.each([
    [0, 0, 5],
    [9, 2_500, 2_560],
    [5_000, 3_500, 3_600],
  ])('pauses for longer after each run of a durable listener that could not be started (after %s attempts)', async (attempts, from, to) => {
    const runId = `refused-${attempts}`;
    await fixture.admin.query(
      `INSERT INTO durable.workflow_run_events (run_id, listener, event, facts, attempts)
       VALUES ($1, $2, 'run.completed', '{"workflow":"order","createdAt":0,"startedAt":null}', $3)`,
      [runId, LISTENER.key, attempts],
    );
    const warn = jest.fn();
    deliver({ ...LISTENER, delivery: 'durable' }, { startRun: () => Promise.reject(new Error('the input is too large')), warn }).start();
    await waitFor(() => warn.mock.calls.length > 0);
    // Waits until the new pause is written.
    await delivery.stop();
    const [row] = await fixture.admin.query<{ attempts: number; s: number }>(
      `SELECT attempts, extract(epoch FROM available_at - now())::float8 AS s FROM durable.workflow_run_events WHERE run_id = $1`,
      [runId],
    );
    expect(row!.attempts).toBe(attempts + 1);
    expect(row!.s).toBeGreaterThan(from);
    expect(row!.s).toBeLessThanOrEqual(to);
    await fixture.admin.query('DELETE FROM durable.workflow_run_events');
  });

  it('pauses between two queries, however many events are announced', async () => {
    const queried: number[] = [];
    const query = open.database.query.bind(open.database);
    jest.spyOn(open.database, 'query').mockImplementation((statement, ...others) => {
      if (statement.name === 'durable_take_events') queried.push(performance.now());
      return query(statement, ...others);
    });
    deliver(LISTENER).start();
    while (queried.length < 4) {
      delivery.poke();
      await new Promise(setImmediate);
    }
    // A timer may fire a millisecond early. The first query waits for the subscription.
    expect(queried[3]! - queried[1]!).toBeGreaterThanOrEqual(2 * 99);
  });

  describe.each<['in a process that polls' | 'in a sweep']>([['in a process that polls'], ['in a sweep']])('%s', (where) => {
    it('calls a listener with all of its events while calls of another one hang', async () => {
      for (const [key, count] of [
        ['Hung.on', 30],
        ['Test.on', 50],
      ] as const) {
        await fixture.admin.query(
          `INSERT INTO durable.workflow_run_events (run_id, listener, event, facts)
           SELECT $1 || n, $1, 'run.completed', '{"workflow":"order","createdAt":0,"startedAt":null}' FROM generate_series(1, $2::int) n`,
          [key, count],
        );
      }
      let free = (): void => undefined;
      const hung = new Promise<void>((resolve) => (free = resolve));
      let calls = 0;
      let others = 0;
      delivery = makeDelivery([
        { ...LISTENER, key: 'Hung.on', name: 'Hung.on', call: () => (calls++, hung) },
        { ...LISTENER, key: 'Test.on', call: () => void others++ },
      ]);
      const swept = where === 'in a sweep' ? delivery.run(new AbortController().signal) : delivery.start();
      await waitFor(() => others === 50, { message: () => `50 calls, and not ${others}` });
      // One listener may have this many calls at a time.
      expect(calls).toBe(20);
      free();
      await swept;
      await waitFor(() => calls === 30);
      await delivery.stop();
      expect(await fixture.admin.query('SELECT 1 FROM durable.workflow_run_events')).toEqual([]);
    });
  });
});
