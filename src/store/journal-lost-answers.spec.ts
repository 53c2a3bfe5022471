import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';

import { JournalFixture, changeOf, startOf, stepOf, waitOf, type OpenJournal } from '../../test/support/faults/journal-fixture.js';
import { FaultProxy } from '../../test/support/faults/proxy.js';

describe('a connection that is cut after the commit and before the answer', () => {
  let fixture: JournalFixture;
  let proxy: FaultProxy;
  let open: OpenJournal;
  beforeAll(async () => {
    fixture = await JournalFixture.create();
    proxy = await FaultProxy.start(fixture.admin.url);
    open = await fixture.journal({ url: proxy.url });
  });
  afterAll(async () => {
    await fixture.close();
    await proxy.stop();
  });

  it.each([
    ['by another process', false],
    ['by this process', true],
  ])('the journal writes a start once and reports it as done: the run is executed %s', async (_, owned) => {
    const cut = proxy.cutAfterCommit('durable_flush_');
    const id = `lost-start-${owned}`;
    const started = open.submit(startOf(id, owned, { tags: { customer: 'c1' } }));
    await cut;
    await expect(started).resolves.toMatchObject({ outcome: 'done' });
    expect(await fixture.admin.query('SELECT status, epoch FROM durable.workflow_runs WHERE id = $1', [id])).toEqual([
      { status: owned ? 'running' : 'pending', epoch: owned ? 1 : 0 },
    ]);
    expect(await fixture.admin.query('SELECT key FROM durable.workflow_tags WHERE run_id = $1', [id])).toEqual([{ key: 'customer' }]);
  });

  it('the journal writes steps, waits and ends of many runs once and reports them as done', async () => {
    const ids = Array.from({ length: 50 }, (_, index) => `lost-${index}`);
    await Promise.all(ids.map((id) => open.submit(startOf(id, true))));
    const cut = proxy.cutAfterCommit('durable_flush_', 2);
    const work = ids.flatMap((id, index) => [
      open.submit(stepOf(id, 1)),
      open.submit(index % 2 === 0 ? waitOf(id, 'sleep') : stepOf(id, 2)),
      open.submit(changeOf(id)),
    ]);
    await cut;
    for (const committed of await Promise.all(work)) expect(committed).toMatchObject({ outcome: 'done' });
    const [counts] = await fixture.admin.query(
      `SELECT (SELECT count(*)::int FROM durable.workflow_steps s WHERE s.run_id LIKE 'lost-%') AS steps,
        (SELECT count(*)::int FROM durable.workflow_waits w WHERE w.run_id LIKE 'lost-%') AS waits,
        (SELECT count(*)::int FROM durable.workflow_runs r WHERE r.id ~ '^lost-\\d+$' AND r.status = 'completed') AS completed`,
    );
    expect(counts).toEqual({ steps: 75, waits: 25, completed: 50 });
    expect(open.fenced).toEqual([]);
  });

  it('the journal suspends a run once and reports the suspension as done', async () => {
    await open.submit(startOf('suspend', true));
    const cut = proxy.cutAfterCommit('durable_flush_');
    const suspended = open.submit(changeOf('suspend', { status: 'waiting', wakeAt: Date.now() + 60_000, wakeCount: 0 }));
    await cut;
    await expect(suspended).resolves.toMatchObject({ outcome: 'done' });
    expect(await fixture.admin.query(`SELECT status, session_id FROM durable.workflow_runs WHERE id = 'suspend'`)).toEqual([
      { status: 'waiting', session_id: null },
    ]);
  });

  it('the journal records a failed attempt once', async () => {
    await open.submit(startOf('attempt', true));
    const cut = proxy.cutAfterCommit('durable_flush_');
    const waiting = open.submit(waitOf('attempt', 'charge', 1));
    await cut;
    await expect(waiting).resolves.toMatchObject({ outcome: 'done' });
    const events = await fixture.admin.query(`SELECT kind, attempt FROM durable.workflow_run_log WHERE run_id = 'attempt'`);
    expect(events).toEqual([{ kind: 'attempt_failed', attempt: 1 }]);
  });

  it('the journal reports a start whose id another run has as existing, not as done', async () => {
    await open.submit(startOf('twice', false));
    const cut = proxy.cutAfterCommit('durable_flush_');
    const again = open.submit(startOf('twice', false, { name: 'other' }));
    await cut;
    await expect(again).resolves.toEqual({ outcome: 'exists', name: 'order', status: 'pending', parentRunId: null });
  });
});
