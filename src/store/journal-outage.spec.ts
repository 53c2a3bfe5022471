import { afterEach, beforeAll, afterAll, describe, expect, it } from '@jest/globals';

import { JournalFixture, changeOf, startOf, stepOf } from '../../test/support/faults/journal-fixture.js';
import { FaultProxy } from '../../test/support/faults/proxy.js';
import { PATIENCE, waitFor } from '../../test/support/wait.js';

describe('an outage of the database', () => {
  let fixture: JournalFixture;
  let proxy: FaultProxy;
  beforeAll(async () => {
    fixture = await JournalFixture.create();
    proxy = await FaultProxy.start(fixture.admin.url);
  });
  afterEach(() => proxy.restore());
  afterAll(async () => {
    await fixture.close();
    await proxy.stop();
  });

  it('the journal keeps results of runs and writes them when the database is reachable again', async () => {
    const open = await fixture.journal({ url: proxy.url });
    const ids = Array.from({ length: 30 }, (_, index) => `outage-${index}`);
    await Promise.all(ids.map((id) => open.submit(startOf(id, true))));
    proxy.refuse();
    let written = 0;
    const work = ids.flatMap((id) => [open.submit(stepOf(id, 1)), open.submit(changeOf(id))].map((done) => done.then(() => written++)));
    await new Promise((resolve) => setTimeout(resolve, 1_000));
    expect(written).toBe(0);
    proxy.restore();
    const since = performance.now();
    await Promise.all(work);
    expect(performance.now() - since).toBeLessThan(3_000 * PATIENCE);
    const [{ count }] = await fixture.admin.query(
      `SELECT count(*)::int FROM durable.workflow_runs WHERE id LIKE 'outage-%' AND status = 'completed'`,
    );
    expect(count).toBe(30);
  });

  it('the journal gives up a start after its timeout, but not the results of runs', async () => {
    const open = await fixture.journal({ url: proxy.url, limits: { startTimeoutMs: 400 } });
    await open.submit(startOf('patient', true));
    proxy.refuse();
    const step = open.submit(stepOf('patient', 1));
    const since = performance.now();
    await expect(open.submit(startOf('impatient', false))).rejects.toMatchObject({ code: 'DATABASE_UNAVAILABLE' });
    const took = performance.now() - since;
    expect(took).toBeGreaterThan(350);
    expect(took).toBeLessThan(2_500 * PATIENCE);
    // A start that arrives while the journal is already retrying.
    await expect(open.submit(startOf('later', false))).rejects.toMatchObject({ code: 'DATABASE_UNAVAILABLE' });
    proxy.restore();
    await expect(step).resolves.toMatchObject({ outcome: 'done' });
    expect(await fixture.admin.query(`SELECT id FROM durable.workflow_runs WHERE id IN ('impatient', 'later')`)).toEqual([]);
    await expect(open.submit(startOf('impatient', false))).resolves.toMatchObject({ outcome: 'done' });
  });

  it('a full journal holds callers back until there is room', async () => {
    const open = await fixture.journal({ url: proxy.url, limits: { queuedBytes: 10_000 } });
    await open.submit(startOf('full', true));
    await open.journal.ready();
    proxy.refuse();
    const step = open.submit(stepOf('full', 1, { output: JSON.stringify('x'.repeat(12_000)) }));
    let ready = false;
    const waiting = open.journal.ready().then(() => (ready = true));
    await new Promise((resolve) => setTimeout(resolve, 300));
    expect(ready).toBe(false);
    proxy.restore();
    await Promise.all([step, waiting]);
    await open.journal.ready();
  });

  it('the journal repeats a flush whose answer never arrives', async () => {
    const open = await fixture.journal({ url: proxy.url, settings: { query_timeout: 500 } });
    await open.submit(startOf('silent', true));
    proxy.silence();
    const step = open.submit(stepOf('silent', 1));
    await new Promise((resolve) => setTimeout(resolve, 100));
    proxy.restore();
    await expect(step).resolves.toMatchObject({ outcome: 'done' });
    await expect(open.submit(changeOf('silent'))).resolves.toMatchObject({ outcome: 'done' });
  });

  it('the pool replaces every connection that the server ends', async () => {
    const open = await fixture.journal();
    const ids = Array.from({ length: 200 }, (_, index) => `ended-${index}`);
    await Promise.all(ids.map((id) => open.submit(startOf(id, true))));
    const over = new AbortController();
    const killer = (async () => {
      while (!over.signal.aborted) {
        await fixture.admin.query(
          `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'nestjs-durable' AND datname = current_database()`,
        );
        await new Promise((resolve) => setTimeout(resolve, 60));
      }
    })();
    for (let seq = 1; seq <= 10; seq++) await Promise.all(ids.map((id) => open.submit(stepOf(id, seq))));
    over.abort();
    await killer;
    await waitFor(async () => {
      const [{ count }] = await fixture.admin.query(`SELECT count(*)::int FROM durable.workflow_steps WHERE run_id LIKE 'ended-%'`);
      return count === 2_000;
    });
    expect(open.fenced).toEqual([]);
  });

  it('a closed journal refuses its remaining transitions, and can be drained', async () => {
    const open = await fixture.journal({ url: proxy.url });
    await open.submit(startOf('closing', true));
    proxy.refuse();
    const step = open.submit(stepOf('closing', 1));
    const refused = expect(step).rejects.toMatchObject({ code: 'CLOSED' });
    await new Promise((resolve) => setTimeout(resolve, 50));
    open.journal.close();
    await refused;
    await expect(open.submit(startOf('closed', false))).rejects.toMatchObject({ code: 'CLOSED' });
    await open.journal.drain(5_000);
    await open.journal.ready();
  });
});
