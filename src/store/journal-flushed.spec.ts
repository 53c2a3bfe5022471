import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';

import { JournalFixture, newSession, startOf, stepOf, submit } from '../../test/support/faults/journal-fixture.js';
import { DatabaseClock } from '../core/clock.js';
import { DurableMetrics } from '../core/metrics/durable-metrics.js';
import { toPrometheusText } from '../core/metrics/exposition.js';
import { parseExposition, valueOf } from '../../test/support/prometheus.js';
import { Database } from './database.js';
import { Journal } from './journal.js';

const ignore = (): void => undefined;

describe('the metrics of a journal', () => {
  let fixture: JournalFixture;
  let database: Database;
  beforeAll(async () => {
    fixture = await JournalFixture.create();
    database = new Database({ connectionString: fixture.admin.url }, { poolSize: 3 });
  });
  afterAll(async () => {
    await database.close();
    await fixture.close();
  });

  it('count each write with its transitions and bytes, and a write that the database refuses', async () => {
    const metrics = new DurableMetrics();
    const journal = new Journal(database, new DatabaseClock(), {
      fenced: ignore,
      moved: () => Promise.resolve(),
      trouble: ignore,
      flushed: (outcome, ms, entries) => metrics.flushed(outcome, ms, entries),
    });
    journal.useSession(await newSession(database));
    const of = (name: string): number => {
      const { counters, histograms } = metrics;
      return valueOf(parseExposition(toPrometheusText({ counters, histograms, gauges: [] }, undefined)), `nestjs_durable_${name}`);
    };
    await submit(journal, startOf('one', true));
    expect([of('flush_duration_seconds_count'), of('flush_transitions_sum')]).toEqual([1, 1]);
    await Promise.all([submit(journal, startOf('two', true)), submit(journal, stepOf('one', 1, { output: `"${'x'.repeat(10_000)}"` }))]);
    expect([of('flush_duration_seconds_count'), of('flush_transitions_sum')]).toEqual([2, 3]);
    expect(of('flush_size_bytes_sum')).toBeGreaterThan(10_000);
    await expect(submit(journal, stepOf('two', 1, { output: '{' }))).rejects.toMatchObject({ code: '22P02' });
    expect([of('flush_failures_total'), of('flush_transitions_sum')]).toEqual([1, 3]);
    journal.close();
  });
});
