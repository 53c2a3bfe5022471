import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';

import { JournalFixture, newSession, startOf, type OpenJournal } from '../../test/support/faults/journal-fixture.js';
import { waitFor } from '../../test/support/wait.js';
import { sessionLockClass, surveySessions, takeOver } from './sql/sessions.js';

describe('a takeover of a session that appears to be dead', () => {
  let fixture: JournalFixture;
  let open: OpenJournal;
  beforeEach(async () => {
    fixture = await JournalFixture.create();
    open = await fixture.journal();
    await open.submit(startOf('mine', true));
  });
  afterEach(() => fixture.close());

  const owner = async (): Promise<unknown> => {
    const [run] = await fixture.admin.query(`SELECT status, session_id::text FROM durable.workflow_runs WHERE id = 'mine'`);
    return run;
  };
  const ours = () => ({ status: 'running', session_id: open.sessionId });
  const recordLockLoss = () => `UPDATE durable.workflow_sessions SET holds_lock = false WHERE id = ${open.sessionId}`;

  it('takes over the runs while no process holds the lock that the session claims to hold', async () => {
    expect(await surveySessions(open.database)).toEqual({ count: 1, expired: [], unlocked: [open.sessionId] });
    expect(await takeOver(open.database, [open.sessionId], 'unlocked')).toMatchObject([{ id: 'mine', status: 'pending' }]);
  });

  it('does not touch a session that has since recorded the loss of its lock', async () => {
    await fixture.admin.query(recordLockLoss());
    expect(await takeOver(open.database, [open.sessionId], 'unlocked')).toEqual([]);
    expect(await owner()).toEqual(ours());
  });

  it('does not touch a session that records the loss of its lock while the takeover waits for its row', async () => {
    const holder = await open.database.pool.connect();
    await holder.query('BEGIN');
    await holder.query(recordLockLoss());
    const taken = takeOver(open.database, [open.sessionId], 'unlocked');
    await waitFor(async () => (await fixture.admin.query('SELECT 1 FROM pg_locks WHERE NOT granted')).length > 0);
    await holder.query('COMMIT');
    holder.release();
    expect(await taken).toEqual([]);
    expect(await owner()).toEqual(ours());
  });

  it('does not touch a session that holds its lock again', async () => {
    const { id } = await newSession(open.database);
    const holder = await open.database.pool.connect();
    await holder.query('SELECT pg_advisory_lock($1::int, $2::int)', [
      sessionLockClass(open.database),
      Number(BigInt(open.sessionId) & 0x7fffffffn),
    ]);
    expect(await takeOver(open.database, [open.sessionId, id], 'unlocked')).toEqual([]);
    expect(await fixture.admin.query('SELECT id::text FROM durable.workflow_sessions')).toEqual([{ id: open.sessionId }]);
    holder.release(true);
  });

  it('does not touch a session that was renewed after it expired', async () => {
    await fixture.admin.query(`UPDATE durable.workflow_sessions SET expires_at = now() - interval '1 second'`);
    const { expired } = await surveySessions(open.database);
    expect(expired).toEqual([open.sessionId]);
    await fixture.admin.query(`UPDATE durable.workflow_sessions SET expires_at = now() + interval '1 minute'`);
    expect(await takeOver(open.database, expired, 'expired')).toEqual([]);
    expect(await owner()).toEqual(ours());
  });
});
