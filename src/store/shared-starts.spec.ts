import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';

import { FaultProxy } from '../../test/support/faults/proxy.js';
import { JournalFixture, startOf, type OpenJournal } from '../../test/support/faults/journal-fixture.js';
import type { NewRun, SharedStart } from '../core/run.js';
import type { Committed, Transition } from '../core/transition.js';

type Shared = Extract<Committed, { outcome: 'shared' }>;

let ids = 0;

function debounced(key: string, input: string, run: Partial<NewRun> = {}, shared: Partial<SharedStart> = {}): Transition {
  const start: SharedStart = { kind: 'debounce', key, periodMs: 3_600_000, maxWaitMs: null, ...shared };
  return startOf(run.id ?? `run-${++ids}`, false, { input: JSON.stringify(input), ...run, shared: start });
}

function throttled(key: string, run: Partial<NewRun> = {}, periodMs = 3_600_000): Transition {
  return startOf(run.id ?? `run-${++ids}`, false, { ...run, shared: { kind: 'throttle', key, periodMs, maxWaitMs: null } });
}

describe('starts that share a run', () => {
  let fixture: JournalFixture;
  let one: OpenJournal;
  let other: OpenJournal;
  beforeAll(async () => {
    fixture = await JournalFixture.create();
    one = await fixture.journal();
    other = await fixture.journal();
  });
  afterAll(() => fixture.close());

  const submit = async (journal: OpenJournal, transition: Transition): Promise<Shared> => (await journal.submit(transition)) as Shared;
  const rowOf = async (id: string): Promise<Record<string, unknown> | undefined> => {
    const [row] = await fixture.admin.query(
      `SELECT status, input, queue, priority, round(extract(epoch FROM wake_at - created_at)) AS seconds,
        round(extract(epoch FROM deadline_at - wake_at)) AS timeout, (SELECT json_object_agg(key, value) FROM durable.workflow_tags WHERE run_id = r.id) AS tags
      FROM durable.workflow_runs r WHERE id = $1`,
      [id],
    );
    return row as Record<string, unknown> | undefined;
  };
  const count = async (where: string): Promise<number> =>
    ((await fixture.admin.query(`SELECT count(*)::int AS count FROM durable.workflow_runs WHERE ${where}`)) as [{ count: number }])[0]
      .count;

  it('debounce keeps the first run, with the input, options and tags of the last call', async () => {
    const first = await submit(one, debounced('last', 'first', { tags: { a: '1', b: '1' } }));
    const second = await submit(other, debounced('last', 'second', { queue: 'q', priority: 3, timeoutMs: 60_000, tags: { b: '2' } }));
    expect(first).toMatchObject({ outcome: 'shared', created: true, wakeAt: expect.any(Number) });
    expect(second).toEqual({ outcome: 'shared', runId: first.runId, name: 'order', created: false, wakeAt: null });
    expect(await rowOf(first.runId)).toMatchObject({
      status: 'waiting',
      input: 'second',
      queue: 'q',
      priority: 3,
      timeout: '60',
      tags: { a: '1', b: '2' },
    });
  });

  it('debounce starts no later than maxWait after the first call, and tells when a call makes the run due earlier', async () => {
    const first = await submit(one, debounced('bounded', 'first', {}, { maxWaitMs: 3_600_000 }));
    await fixture.admin.query(
      `UPDATE durable.workflow_shared_starts SET first_at = first_at - interval '59 minutes 50 seconds' WHERE key = 'bounded'`,
    );
    const second = await submit(other, debounced('bounded', 'second', {}, { maxWaitMs: 3_600_000 }));
    expect(second.runId).toBe(first.runId);
    expect(second.wakeAt).toBeLessThan(first.wakeAt! - 3_000_000);
  });

  it.each(["status = 'pending', ready_at = now(), wake_at = NULL", `wake_at = now() - interval '1 second'`])(
    'debounce begins a new run once the run is due (%s)',
    async (due) => {
      const first = await submit(one, debounced(due, 'first'));
      await fixture.admin.query(`UPDATE durable.workflow_runs SET ${due} WHERE id = $1`, [first.runId]);
      const second = await submit(other, debounced(due, 'second'));
      expect(second).toMatchObject({ created: true });
      expect(await rowOf(first.runId)).toMatchObject({ input: 'first' });
      expect(await submit(one, debounced(due, 'third'))).toMatchObject({ runId: second.runId, created: false });
    },
  );

  it('throttle starts one run in the period, and another one after the period or when the run was deleted', async () => {
    const first = await submit(one, throttled('once'));
    expect(first).toMatchObject({ created: true });
    expect(await submit(other, throttled('once'))).toMatchObject({ runId: first.runId, created: false });
    await fixture.admin.query(`UPDATE durable.workflow_shared_starts SET until = now() WHERE key = 'once'`);
    const next = await submit(other, throttled('once'));
    expect(next).toMatchObject({ created: true });
    await fixture.admin.query('DELETE FROM durable.workflow_runs WHERE id = $1', [next.runId]);
    expect(await submit(one, throttled('once'))).toMatchObject({ created: true });
  });

  it('debounce and throttle with the same key do not meet, and neither do two workflows', async () => {
    const runs = [
      debounced('same', 'a'),
      throttled('same'),
      debounced('same', 'b', { name: 'other' }),
      throttled('same', { name: 'other' }),
    ];
    const outcomes = await Promise.all(runs.map((run) => submit(one, run)));
    expect(outcomes.map(({ created }) => created)).toEqual([true, true, true, true]);
    expect(new Set(outcomes.map(({ runId }) => runId)).size).toBe(4);
  });

  it.each(['debounce', 'throttle'] as const)('%s makes one run for each key of concurrent starts in two processes', async (kind) => {
    const start = (key: string, input: number): Transition =>
      kind === 'debounce'
        ? debounced(key, String(input), { name: `racing ${kind}` })
        : throttled(key, { name: `racing ${kind}`, input: `"${input}"` });
    const work = Array.from({ length: 400 }, (_, index) => submit(index % 2 === 0 ? one : other, start(`race-${index % 7}`, index)));
    const outcomes = await Promise.all(work);
    expect(await count(`name = 'racing ${kind}'`)).toBe(7);
    expect(outcomes.filter(({ created }) => created)).toHaveLength(7);
    expect(new Set(outcomes.map(({ runId }) => runId)).size).toBe(7);
  });

  it('debounce keeps the order of calls in one process, however many flushes they take', async () => {
    const work = Array.from({ length: 1_500 }, (_, index) => submit(one, debounced('ordered', String(index))));
    const [{ runId }] = (await Promise.all(work)) as [Shared];
    expect(await rowOf(runId)).toMatchObject({ input: '1499' });
  });

  it('the id of a call names the run that the call makes, and an existing run with the id is returned', async () => {
    expect(await submit(one, debounced('named', 'a', { id: 'chosen', hasGivenId: true }))).toMatchObject({
      runId: 'chosen',
      created: true,
    });
    expect(await submit(one, debounced('named', 'b', { id: 'unused', hasGivenId: true }))).toMatchObject({
      runId: 'chosen',
      created: false,
    });
    expect(await rowOf('unused')).toBeUndefined();
    const work = [one.submit(debounced('free', 'c', { id: 'chosen', hasGivenId: true })), one.submit(debounced('free', 'd'))];
    expect(await Promise.all(work)).toMatchObject([
      { outcome: 'exists', name: 'order' },
      { outcome: 'shared', created: true },
    ]);
    expect(await rowOf('chosen')).toMatchObject({ input: 'b' });
  });

  it('rows that a deleted run left behind do not reach a new run with its id', async () => {
    await fixture.admin.query(`INSERT INTO durable.workflow_tags VALUES ('left', 'old', 'x')`);
    expect(await submit(one, debounced('left', 'a', { id: 'left', hasGivenId: true }))).toMatchObject({ created: true });
    expect(await rowOf('left')).toMatchObject({ tags: null });
  });

  it.each(['debounce', 'throttle'] as const)(
    '%s counts a call once when the answer of its commit is lost, even if the run is due by then',
    async (kind) => {
      const proxy = await FaultProxy.start(fixture.admin.url);
      const behind = await fixture.journal({ url: proxy.url });
      const start = kind === 'debounce' ? debounced('lost', 'mine') : throttled('lost', {}, 10);
      await fixture.admin.query(`CREATE FUNCTION durable.due() RETURNS trigger LANGUAGE plpgsql AS
      'BEGIN IF NEW.id = ''${start.runId}'' THEN NEW.status := ''pending''; NEW.ready_at := now(); NEW.wake_at := NULL; END IF; RETURN NEW; END'`);
      await fixture.admin.query(`CREATE TRIGGER due BEFORE INSERT ON durable.workflow_runs FOR EACH ROW EXECUTE FUNCTION durable.due()`);
      try {
        const cut = proxy.cutAfterCommit('durable_flush_');
        const started = submit(behind, start);
        await cut;
        expect(await started).toMatchObject({ runId: start.runId, created: true });
        expect(await count(`id = '${start.runId}'`)).toBe(1);
      } finally {
        await fixture.admin.query('DROP TRIGGER due ON durable.workflow_runs');
        await fixture.admin.query('DROP FUNCTION durable.due()');
        await proxy.stop();
      }
    },
  );
});
