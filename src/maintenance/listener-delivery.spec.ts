import { performance } from 'node:perf_hooks';

import { afterAll, afterEach, beforeAll, describe, expect, it, jest } from '@jest/globals';

import { JournalFixture, type OpenJournal } from '../../test/support/faults/journal-fixture.js';
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

  const deliver = (listener: RunListener, options: Partial<ListenerDeliveryOptions> = {}): ListenerDelivery =>
    (delivery = new ListenerDelivery(open.database, [listener], {
      payloads: new Payloads(1_024, undefined),
      pollIntervalMs: Number.POSITIVE_INFINITY,
      stopTimeoutMs: 1_000,
      startRun: async () => undefined,
      warn: () => undefined,
      failed: () => undefined,
      ...options,
    }));

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
    // A timer may fire a millisecond early.
    expect(queried[3]! - queried[0]!).toBeGreaterThanOrEqual(3 * 99);
  });
});
