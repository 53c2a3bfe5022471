import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import pg from 'pg';

import { JournalFixture, changeOf, startOf, type OpenJournal } from '../../test/support/faults/journal-fixture.js';
import { requestCancel, sweepAndNotify } from '../../test/support/faults/requests.js';
import { waitFor } from '../../test/support/wait.js';
import { unblockRuns } from './sql/blocked-runs.js';
import { claimRuns } from './sql/claim-runs.js';
import { readInboxes } from './sql/read-inbox.js';

const RUN = 'run';
const KEYS = [{ queue: 'default', name: 'order', version: 1 }];
/** Transitions that leave a run in each state. */
const STATES = {
  running: [startOf(RUN, true)],
  suspended: [startOf(RUN, true), changeOf(RUN, { status: 'waiting', wakeAt: Date.now() + 3_600_000, wakeCount: 0 })],
  'handed back': [startOf(RUN, true), changeOf(RUN, { status: 'pending' })],
  blocked: [startOf(RUN, true), changeOf(RUN, { status: 'waiting', blockedFor: 'new', reason: '{}' })],
  due: [startOf(RUN, false)],
  delayed: [startOf(RUN, false, { delayMs: 3_600_000 })],
};

describe('a request to cancel whose notification was lost', () => {
  let fixture: JournalFixture;
  let holder: pg.Client;
  let open: OpenJournal;
  beforeAll(async () => {
    fixture = await JournalFixture.create();
    holder = new pg.Client({ connectionString: fixture.admin.url });
    await holder.connect();
  });
  beforeEach(async () => {
    await fixture.admin.query('TRUNCATE durable.workflow_runs, durable.workflow_inbox, durable.workflow_run_log');
    open = await fixture.journal();
  });
  // Only a failed test leaves its transaction open.
  afterEach(() => holder.query('ROLLBACK'));
  afterAll(async () => {
    await holder.end();
    await fixture.close();
  });

  const bring = async (state: keyof typeof STATES): Promise<void> => {
    for (const transition of STATES[state]) await open.submit(transition);
  };
  /**
   * Sends a request to cancel while the run's row is locked, so that the run cannot be notified.
   */
  const cancelWithoutNotice = async (id = RUN): Promise<void> => {
    await holder.query('BEGIN');
    await holder.query('SELECT 1 FROM durable.workflow_runs WHERE id = $1 FOR UPDATE', [id]);
    await requestCancel(open.database, id, '{"reason":"enough"}', '{}');
    await holder.query('ROLLBACK');
    await fixture.admin.query(`UPDATE durable.workflow_inbox SET created_at = now() - interval '1 minute'`);
  };
  const run = async (id = RUN): Promise<Record<string, unknown>> => {
    const [row] = await fixture.admin.query('SELECT *, xmin::text AS row_version FROM durable.workflow_runs WHERE id = $1', [id]);
    return row;
  };
  const messages = async (): Promise<unknown[]> => fixture.admin.query('SELECT * FROM durable.workflow_inbox');

  it('raises the wake count of a running run', async () => {
    await bring('running');
    await cancelWithoutNotice();
    expect(await run()).toMatchObject({ wake_count: 0 });
    expect(await sweepAndNotify(open.database)).toEqual({ notified: [RUN], cancelled: [] });
    expect(await run()).toMatchObject({
      status: 'running',
      wake_count: 1,
      session_id: open.sessionId,
      cancel_requested_at: expect.any(Date),
    });
    expect(await messages()).toHaveLength(1);
  });

  it('makes a waiting run due', async () => {
    await bring('suspended');
    await cancelWithoutNotice();
    expect(await sweepAndNotify(open.database)).toEqual({ notified: [RUN], cancelled: [] });
    expect(await run()).toMatchObject({ status: 'pending', wake_at: null, cancel_requested_at: expect.any(Date) });
  });

  it.each(['due', 'delayed'] as const)('cancels, without an execution, a run that was never executed and is %s', async (state) => {
    await bring(state);
    await cancelWithoutNotice();
    expect(await sweepAndNotify(open.database)).toEqual({ notified: [], cancelled: [RUN] });
    const error = expect.objectContaining({ name: 'WorkflowCancelledError', message: expect.stringContaining('enough') });
    expect(await run()).toMatchObject({ status: 'cancelled', error, started_at: null, finished_at: expect.any(Date), ready_at: null });
    expect(await messages()).toEqual([]);
  });

  it.each(['blocked', 'handed back'] as const)('is recorded once on a run that is %s, whose row is not written again', async (state) => {
    await bring(state);
    const { status } = await run();
    await cancelWithoutNotice();
    await sweepAndNotify(open.database);
    const noted = await run();
    expect(noted).toMatchObject({ status, cancel_requested_at: expect.any(Date) });
    for (let again = 0; again < 3; again++) expect(await sweepAndNotify(open.database)).toEqual({ notified: [], cancelled: [] });
    expect(await run()).toEqual(noted);
    expect(await messages()).toHaveLength(1);
  });

  it('keeps a blocked run waiting, although the run was notified, until a new deployment may match its history', async () => {
    await bring('blocked');
    const { status } = (await requestCancel(open.database, RUN, '{}', '{}'))!;
    expect(status).toBe('waiting');
    expect(await run()).toMatchObject({ status: 'waiting', ready_at: null, cancel_requested_at: expect.any(Date) });
    expect(await unblockRuns(open.database, KEYS, 'new')).toHaveLength(0);
    expect(await unblockRuns(open.database, KEYS, 'fitting')).toHaveLength(1);
    const claim = { fence: open.fence, keys: KEYS, deploymentId: 'fitting', limit: 1 };
    expect((await claimRuns(open.database, claim)).map(({ id }) => id)).toEqual([RUN]);
    const [read] = await readInboxes(open.database, [{ runId: RUN, floor: 0n, room: 10, bytes: 1_000 }], []);
    expect(read!.messages).toHaveLength(1);
  });

  it('is deleted when the run has ended, and the run stays unchanged', async () => {
    await bring('running');
    await cancelWithoutNotice();
    await open.submit(changeOf(RUN));
    const ended = await run();
    expect(await sweepAndNotify(open.database)).toEqual({ notified: [], cancelled: [] });
    expect(await run()).toEqual(ended);
    expect(await messages()).toEqual([]);
  });

  it('stays in the inbox for the next sweep when another transaction locks it', async () => {
    await bring('running');
    await cancelWithoutNotice();
    await open.submit(changeOf(RUN));
    await holder.query('BEGIN');
    await holder.query('SELECT 1 FROM durable.workflow_inbox FOR UPDATE');
    await sweepAndNotify(open.database);
    await holder.query('ROLLBACK');
    expect(await messages()).toHaveLength(1);
  });

  it('does not change a run that ends during the sweep', async () => {
    // The sweep pauses at the first run until the gate opens, with an old snapshot of the second.
    await fixture.admin.query(`CREATE FUNCTION gate() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        WHILE NOT pg_try_advisory_xact_lock_shared(4712) LOOP PERFORM pg_sleep(0.01); END LOOP; RETURN NEW; END $$;
      CREATE TRIGGER gate BEFORE UPDATE ON durable.workflow_runs FOR EACH ROW WHEN (NEW.id = 'a-gated') EXECUTE FUNCTION gate()`);
    await open.submit(startOf('a-gated', true));
    await open.submit(startOf('b-ending', true));
    await cancelWithoutNotice('a-gated');
    await cancelWithoutNotice('b-ending');
    await holder.query('SELECT pg_advisory_lock(4712)');
    const sweeping = sweepAndNotify(open.database);
    const stopped = `SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event = 'PgSleep'`;
    await waitFor(async () => (await fixture.admin.query(stopped)).length > 0, { message: 'the sweep to pause' });
    await open.submit(changeOf('b-ending'));
    const ended = await run('b-ending');
    await holder.query('SELECT pg_advisory_unlock(4712)');
    expect(await sweeping).toEqual({ notified: ['a-gated'], cancelled: [] });
    expect(await run('b-ending')).toEqual(ended);
  });
});
