import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import pg from 'pg';

import { JournalFixture, changeOf, startOf, stepOf, waitOf, newSession } from '../../test/support/faults/journal-fixture.js';
import { waitFor } from '../../test/support/wait.js';
import type { Transition } from '../core/transition.js';
import { takeOver } from './sql/sessions.js';

describe('the fences of the journal', () => {
  let fixture: JournalFixture;
  beforeAll(async () => {
    fixture = await JournalFixture.create();
  });
  afterAll(() => fixture.close());

  const runs = (prefix: string): Promise<unknown[]> =>
    fixture.admin.query(
      `SELECT r.*, r.xmin::text AS version_of_row, (SELECT count(*) FROM durable.workflow_steps s WHERE s.run_id = r.id) AS steps,
        (SELECT count(*) FROM durable.workflow_waits w WHERE w.run_id = r.id) AS waits, (SELECT count(*) FROM durable.workflow_run_log e WHERE e.run_id = r.id) AS events
       FROM durable.workflow_runs r WHERE starts_with(id, $1) ORDER BY id`,
      [prefix],
    );

  it('keep the first result of a step', async () => {
    const open = await fixture.journal();
    await open.submit(startOf('first-wins', true));
    await open.submit(stepOf('first-wins', 1, { stepKey: 'charge', output: '"first"' }));
    const again = open.submit(stepOf('first-wins', 2, { stepKey: 'charge', output: '"second"' }));
    await expect(again).rejects.toMatchObject({ code: 'FENCED' });
    const rows = await fixture.admin.query(`SELECT seq, output FROM durable.workflow_steps WHERE run_id = 'first-wins'`);
    expect(rows).toEqual([{ seq: 1, output: 'first' }]);
  });

  it('refuse every write and insert of a session that was taken over, but not starts without an owner', async () => {
    const open = await fixture.journal();
    const ids = ['fence-1', 'fence-2', 'fence-3', 'fence-4'];
    await Promise.all(ids.map((id) => open.submit(startOf(id, true))));
    const lost = await takeOver(open.database, [open.sessionId], 'unlocked');
    expect(lost.map(({ id, status }) => `${id} ${status}`).sort()).toEqual(ids.map((id) => `${id} pending`));
    const before = await runs('fence-');

    const outcomes = await Promise.allSettled([
      open.submit(stepOf('fence-1', 1)),
      open.submit(waitOf('fence-2', 'charge', 1)),
      open.submit(changeOf('fence-3')),
      open.submit(changeOf('fence-4', { status: 'waiting', wakeAt: null, wakeCount: 0 })),
      open.submit(startOf('fence-owned', true)),
      open.submit(startOf('free-start', false)),
    ]);
    expect(outcomes.slice(0, 5).map((outcome) => outcome.status === 'rejected' && outcome.reason.code)).toEqual(Array(5).fill('FENCED'));
    expect(outcomes[5]).toMatchObject({ status: 'fulfilled', value: { outcome: 'done' } });
    expect(await runs('fence-')).toEqual(before);
    expect([...new Set(open.fenced)]).toEqual([open.sessionId]);
  });

  it.each([
    ['a wait', () => waitOf('alone-wait', 'charge', 1)],
    ['a step', () => stepOf('alone-wait', 1)],
    ['an end', () => changeOf('alone-wait')],
  ])('refuse %s that is alone in its flush after a takeover', async (what, transition) => {
    const open = await fixture.journal();
    const id = 'alone-wait';
    await fixture.admin.query('DELETE FROM durable.workflow_runs WHERE id = $1', [id]);
    await open.submit(startOf(id, true));
    await takeOver(open.database, [open.sessionId], 'unlocked');
    const before = await runs(id);
    await expect(open.submit(transition())).rejects.toMatchObject({ code: 'FENCED' });
    expect(await runs(id)).toEqual(before);
    expect(what).not.toBe('');
  });

  it('refuse a write under the old epoch when the same session has claimed the run again', async () => {
    const open = await fixture.journal();
    await open.submit(startOf('epoch', true));
    await fixture.admin.query(`UPDATE durable.workflow_runs SET epoch = 2 WHERE id = 'epoch'`);
    await expect(open.submit(stepOf('epoch', 1))).rejects.toMatchObject({ code: 'FENCED' });
    await open.submit(waitOf('epoch', 'charge', 1)).catch(() => undefined);
    const [row] = await runs('epoch');
    expect(row).toMatchObject({ status: 'running', epoch: 2, steps: '0', waits: '0', events: '0' });
  });

  it('refuse transitions of the old session, while the new session continues', async () => {
    const open = await fixture.journal();
    await open.submit(startOf('renewed', true));
    const renewed = await newSession(open.database);
    const stale = open.submit(stepOf('renewed', 1));
    const refused = expect(stale).rejects.toMatchObject({ code: 'FENCED' });
    open.journal.useSession(renewed);
    await refused;
    await expect(open.submit(startOf('renewed-2', true))).resolves.toMatchObject({ outcome: 'done' });
    await expect(open.submit(changeOf('renewed-2'))).resolves.toMatchObject({ outcome: 'done' });
    expect(open.fenced).toEqual([]);
  });

  it('keep messages and waits that a write under an old epoch would delete', async () => {
    const open = await fixture.journal();
    await open.submit(startOf('mail', true));
    await open.submit(waitOf('mail', 'pause'));
    await fixture.admin.query(`INSERT INTO durable.workflow_inbox (run_id, kind) VALUES ('mail', 'cancel')`);
    const [message] = await fixture.admin.query<{ id: string }>(`SELECT id::text FROM durable.workflow_inbox WHERE run_id = 'mail'`);
    // The same session has suspended the run and claimed it again.
    await fixture.admin.query(`UPDATE durable.workflow_runs SET epoch = 2 WHERE id = 'mail'`);
    const before = await runs('mail');
    const late = [
      { ...stepOf('mail', 1, { stepKey: 'pause' }, true), takes: message!.id } as Transition,
      changeOf('mail', { status: 'completed', output: '1', error: null, leftovers: 'some' }),
    ];
    await Promise.allSettled(late.map((transition) => open.submit(transition)));
    expect(await runs('mail')).toEqual(before);
    expect(await fixture.admin.query(`SELECT kind FROM durable.workflow_inbox WHERE run_id = 'mail'`)).toEqual([{ kind: 'cancel' }]);
  });

  it('make a takeover wait for an active flush, after which the session writes nothing', async () => {
    const open = await fixture.journal();
    await Promise.all(['slow-1', 'slow-2'].map((id) => open.submit(startOf(id, true))));
    // The flush pauses in the middle, with the session's row locked, until the gate opens. It does
    // not wait for a lock, because such a wait has a timeout.
    await fixture.admin.query(`CREATE FUNCTION gate() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        WHILE NOT pg_try_advisory_xact_lock_shared(4711) LOOP PERFORM pg_sleep(0.01); END LOOP; RETURN NEW; END $$;
      CREATE TRIGGER gate BEFORE INSERT ON durable.workflow_steps FOR EACH ROW WHEN (NEW.step_key = 'gated') EXECUTE FUNCTION gate()`);
    const gate = new pg.Client({ connectionString: fixture.admin.url });
    await gate.connect();
    await gate.query('SELECT pg_advisory_lock(4711)');
    const step = open.submit(stepOf('slow-1', 1, { stepKey: 'gated' }));
    const waiting = (event: string, what: string) => async () => {
      const sql = 'SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = $1 AND query LIKE $2';
      return (await fixture.admin.query(sql, [event, `%${what}%`])).length > 0;
    };
    await waitFor(waiting('Timeout', 'workflow_steps'), { message: 'the flush to pause' });

    const other = await fixture.journal();
    let isTaken = false;
    const taken = takeOver(other.database, [open.sessionId], 'unlocked').finally(() => (isTaken = true));
    await waitFor(waiting('Lock', 'DELETE FROM'), { message: 'the takeover to wait' });
    expect(isTaken).toBe(false);
    await gate.query('SELECT pg_advisory_unlock(4711)');
    await gate.end();
    await expect(step).resolves.toMatchObject({ outcome: 'done' });
    expect((await taken).map(({ id }) => id).sort()).toEqual(['slow-1', 'slow-2']);
    // Only now: a flush right after the first may still precede the takeover, and is written then.
    await expect(open.submit(stepOf('slow-2', 1))).rejects.toMatchObject({ code: 'FENCED' });
    expect(await fixture.admin.query(`SELECT run_id FROM durable.workflow_steps WHERE run_id LIKE 'slow-%'`)).toEqual([
      { run_id: 'slow-1' },
    ]);
  });
});
