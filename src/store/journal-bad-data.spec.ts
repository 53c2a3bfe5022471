import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';

import { JournalFixture, changeOf, startOf, stepOf, waitOf, type OpenJournal } from '../../test/support/faults/journal-fixture.js';

describe('a journal', () => {
  let fixture: JournalFixture;
  let open: OpenJournal;
  beforeAll(async () => {
    fixture = await JournalFixture.create();
    open = await fixture.journal();
  });
  afterAll(() => fixture.close());

  const idsOf = (prefix: string, count: number): string[] => Array.from({ length: count }, (_, index) => `${prefix}-${index}`);

  it.each([
    ['a nonce out of range', { nonce: '99999999999999999999' }],
    ['a priority out of range', { priority: 70_000 }],
    ['a NUL in the queue', { queue: 'a\0b' }],
    ['an input that is not JSON', { input: '{' }],
  ])('refuses only the bad one of 500 starts: %s', async (what, bad) => {
    const ids = idsOf(what, 500);
    const outcomes = await Promise.allSettled(ids.map((id, index) => open.submit(startOf(id, false, index === 321 ? bad : {}))));
    expect(outcomes.flatMap(({ status }, index) => (status === 'rejected' ? [index] : []))).toEqual([321]);
    const [{ count }] = await fixture.admin.query('SELECT count(*)::int FROM durable.workflow_runs WHERE starts_with(id, $1)', [what]);
    expect(count).toBe(499);
  });

  it('refuses only the transitions of the one run among 250 that has a NUL in a step key', async () => {
    const ids = idsOf('nul', 250);
    await Promise.all(ids.map((id) => open.submit(startOf(id, true))));
    const outcomes = await Promise.allSettled(
      ids.flatMap((id, index) => [open.submit(stepOf(id, 1, index === 77 ? { stepKey: 'a\0b' } : {})), open.submit(changeOf(id))]),
    );
    expect(outcomes.flatMap(({ status }, index) => (status === 'rejected' ? [index] : []))).toEqual([154, 155]);
    const rows = await fixture.admin.query(`SELECT id, status FROM durable.workflow_runs WHERE id LIKE 'nul-%' AND status <> 'completed'`);
    expect(rows).toEqual([{ id: 'nul-77', status: 'running' }]);
  });

  it('refuses an end that follows a result that cannot be stored, even in a later flush', async () => {
    const narrow = await fixture.journal({ limits: { members: 1 } });
    await narrow.submit(startOf('cut', true));
    const outcomes = await Promise.allSettled([
      narrow.submit(stepOf('cut', 1)),
      narrow.submit(stepOf('cut', 2, { stepKey: 'a\0b' })),
      narrow.submit(changeOf('cut')),
    ]);
    expect(outcomes.map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'rejected']);
    await narrow.submit(stepOf('cut', 2, { stepKey: 'instead', status: 'failed', output: null, error: '{}' }));
    const rows = await fixture.admin
      .query(`SELECT r.status, step_key FROM durable.workflow_runs r JOIN durable.workflow_steps ON run_id = id
      WHERE id = 'cut' ORDER BY seq`);
    expect(rows).toEqual([
      { status: 'running', step_key: 'step#1' },
      { status: 'running', step_key: 'instead' },
    ]);
  });

  it('continues after bad data, and keeps no bad data in its queue', async () => {
    await expect(open.submit(startOf('bad', false, { priority: 70_000 }))).rejects.toThrow();
    await expect(open.submit(startOf('good', false))).resolves.toMatchObject({ outcome: 'done' });
    await open.journal.drain(5_000);
  });

  it('creates one run, with its tags, from two starts with one id in one flush, and reports to the other that the run exists', async () => {
    const outcomes = await Promise.all([
      open.submit(startOf('same', false, { tags: { by: 'first', first: '1' } })),
      open.submit(startOf('same', false, { tags: { by: 'second', second: '2' } })),
    ]);
    expect(outcomes.map(({ outcome }) => outcome).sort()).toEqual(['done', 'exists']);
    const tags = await fixture.admin.query(`SELECT key, value FROM durable.workflow_tags WHERE run_id = 'same' ORDER BY key`);
    const winner = outcomes[0].outcome === 'done' ? 'first' : 'second';
    expect(tags).toEqual([
      { key: 'by', value: winner },
      { key: winner, value: winner === 'first' ? '1' : '2' },
    ]);
  });

  it('stores no wait that is opened and closed in one flush', async () => {
    await open.submit(startOf('merged', true));
    await Promise.all([
      open.submit(waitOf('merged', 'charge', 1)),
      open.submit(waitOf('merged', 'charge', 2)),
      open.submit(stepOf('merged', 1, { stepKey: 'charge' }, true)),
    ]);
    expect(await fixture.admin.query(`SELECT step_key FROM durable.workflow_waits WHERE run_id = 'merged'`)).toEqual([]);
    const events = await fixture.admin.query(`SELECT attempt FROM durable.workflow_run_log WHERE run_id = 'merged' ORDER BY id`);
    expect(events).toEqual([{ attempt: 1 }, { attempt: 2 }]);
  });

  it('keeps a run claimable that is suspended and handed back in one flush', async () => {
    await open.submit(startOf('both', true));
    const outcomes = await Promise.all([
      open.submit(changeOf('both', { status: 'waiting', wakeAt: Date.now() + 60_000, wakeCount: 0 })),
      open.submit(changeOf('both', { status: 'pending' })),
    ]);
    expect(outcomes.map(({ outcome }) => outcome)).toEqual(['done', 'done']);
    const [run] = await fixture.admin
      .query(`SELECT session_id, (status = 'pending' AND ready_at IS NOT NULL) OR (status = 'waiting' AND wake_at IS NOT NULL) AS found
      FROM durable.workflow_runs WHERE id = 'both'`);
    expect(run).toEqual({ session_id: null, found: true });
  });

  it('does not suspend a run that was notified, and returns its wake count', async () => {
    await open.submit(startOf('moved', true));
    await fixture.admin.query(`UPDATE durable.workflow_runs SET wake_count = 3 WHERE id = 'moved'`);
    await expect(open.submit(changeOf('moved', { status: 'waiting', wakeAt: null, wakeCount: 0 }))).resolves.toEqual({
      outcome: 'moved',
      wakeCount: 3,
    });
    await expect(open.submit(changeOf('moved', { status: 'waiting', wakeAt: null, wakeCount: 3 }))).resolves.toMatchObject({
      outcome: 'done',
    });
  });

  it('calls a callback that throws once, and continues', async () => {
    let calls = 0;
    open.journal.submit(
      startOf('thrower', false),
      () => {
        calls++;
        throw new Error('not your fault');
      },
      () => undefined,
    );
    await expect(open.submit(startOf('neighbour', false))).resolves.toMatchObject({ outcome: 'done' });
    await expect(open.submit(startOf('successor', false))).resolves.toMatchObject({ outcome: 'done' });
    expect(calls).toBe(1);
  });
});
