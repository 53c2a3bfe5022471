import { afterAll, beforeAll, beforeEach, expect, it } from '@jest/globals';

import { JournalFixture, newSession, startOf } from '../../test/support/faults/journal-fixture.js';
import { Database } from './database.js';
import { flush } from './sql/flush.js';
import { toFlushRows } from './flush-rows.js';
import type { SessionFence } from './session-fence.js';
import { unblockRuns } from './sql/blocked-runs.js';
import { bumpRuns } from './sql/bump-runs.js';
import { notifyOfCancel } from './sql/cancel-run.js';
import { claimRuns, claimSuspects } from './sql/claim-runs.js';
import { endRuns, findOverdueRuns } from './sql/end-runs.js';
import { wakeListed } from './sql/outbox.js';
import { notifyOfPause } from './sql/pause-run.js';
import { handBackOwnerless } from './sql/hand-back.js';
import { closeSession, takeOver } from './sql/sessions.js';
import { sweepInbox } from './sql/sweep-inbox.js';
import { nextTimes, wakeDueRuns } from './sql/timers.js';

const REFUSED = 'run-2';
const OTHERS = ['run-1', 'run-3', 'run-4', 'run-5'];
const IDS = [...OTHERS, REFUSED].sort();
const KEYS = [{ queue: 'default', name: 'order', version: 1 }];

let fixture: JournalFixture;
let database: Database;
let fence: SessionFence;
const reported: string[] = [];
beforeAll(async () => {
  fixture = await JournalFixture.create();
  await fixture.admin.query(`CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'not this run'; END $$`);
});
beforeEach(async () => {
  await fixture.admin.query('TRUNCATE durable.workflow_runs, durable.workflow_inbox, durable.workflow_sessions');
  await database?.close();
  reported.splice(0);
  // With one connection, a statement begins only when the refused one has released its locks.
  database = new Database({ connectionString: fixture.admin.url }, { poolSize: 1 });
  database.unwritable.report = (runId) => reported.push(runId);
  fence = await newSession(database, 600_000);
});
afterAll(async () => {
  await database.close();
  await fixture.close();
});

/** Creates the runs, changes their rows, and then lets a trigger refuse every update of one. */
async function prepare(owned: boolean, set: string, messages?: string): Promise<void> {
  await flush(database, fence, toFlushRows(IDS.map((id) => startOf(id, owned))));
  await fixture.admin.query(`UPDATE durable.workflow_runs SET ${set}`);
  if (messages) {
    await fixture.admin.query(
      `INSERT INTO durable.workflow_inbox (run_id, kind, created_at) SELECT id, '${messages}', now() - interval '1 hour' FROM durable.workflow_runs`,
    );
  }
  await fixture.admin.query(
    `CREATE TRIGGER refuse BEFORE UPDATE ON durable.workflow_runs FOR EACH ROW WHEN (NEW.id = '${REFUSED}') EXECUTE FUNCTION refuse()`,
  );
}
const allow = (): Promise<unknown> => fixture.admin.query('DROP TRIGGER IF EXISTS refuse ON durable.workflow_runs');
beforeEach(allow);

const claim = () => ({ fence, keys: KEYS, deploymentId: 'test', limit: 10 });
const versions = async (): Promise<Map<string, string>> => {
  const rows = await fixture.admin.query('SELECT id, xmin::text AS version FROM durable.workflow_runs');
  return new Map(rows.map(({ id, version }) => [id as string, version as string]));
};
const changedBy = async (work: () => Promise<unknown>): Promise<string[]> => {
  const before = await versions();
  await work();
  const after = await versions();
  return IDS.filter((id) => before.get(id) !== after.get(id));
};

const WAITING = `status = 'waiting', ready_at = NULL`;
it.each<[string, boolean, string, string | undefined, () => Promise<unknown>]>([
  ['a claim', false, 'priority = 0', undefined, () => claimRuns(database, claim())],
  ['a claim of suspects', false, `worker_losses = CASE WHEN id = '${REFUSED}' THEN 3 ELSE 2 END`, undefined, claimAllSuspects],
  ['the timer query', false, `${WAITING}, wake_at = now() - interval '1 minute'`, undefined, () => wakeDueRuns(database, 10)],
  ['the timer query of QStash', false, `${WAITING}, wake_at = now() - interval '1 minute'`, undefined, () => wakeListed(database, 10)],
  [
    'a new deployment',
    false,
    `${WAITING}, is_blocked = true, blocked_deployments = '{other}'`,
    undefined,
    () => unblockRuns(database, KEYS, 'test'),
  ],
  ['a takeover', true, 'priority = 0', undefined, () => takeOver(database, [fence.id], 'unlocked')],
  ['the close of a session', true, 'priority = 0', undefined, () => closeSession(database, fence.id)],
  ['a notification', false, WAITING, undefined, () => bumpRuns(database, IDS)],
  [
    'a cancellation',
    false,
    WAITING,
    'cancel',
    () =>
      notifyOfCancel(
        database,
        IDS.map((runId) => ({ runId, error: '{}', parentId: null })),
      ),
  ],
  ['a pause', false, WAITING, 'pause', () => notifyOfPause(database, IDS)],
  ['the inbox sweep', false, `${WAITING}, started_at = now()`, 'cancel', () => sweepInbox(database, 1e9)],
  ['the inbox sweep of unstarted runs', false, WAITING, 'cancel', () => sweepInbox(database, 1e9)],
  ['the sweep of deadlines', false, `deadline_at = now() - interval '1 hour'`, undefined, endOverdue],
])('%s changes all runs except the one that the database refuses to change', async (_, owned, set, messages, work) => {
  await prepare(owned, set, messages);
  expect(await changedBy(work)).toEqual(OTHERS);
  expect(reported).toEqual([REFUSED]);
  expect(database.unwritable.list(10)).toMatchObject([{ runId: REFUSED, error: { message: 'not this run' } }]);
});

async function claimAllSuspects(): Promise<void> {
  for (let tries = 0; tries < 10; tries++) await claimSuspects(database, claim());
}

async function endOverdue(): Promise<void> {
  const errors = new Map((await findOverdueRuns(database, [])).map((id) => [id, '{}']));
  const ending = { status: 'failed', errorCode: 'WORKFLOW_TIMEOUT', event: 'timed_out', note: null, which: 'any' } as const;
  await endRuns(database, { ...ending, errors, whereLocked: 'leave out' });
}

it('the timer query skips a run that the database has refused to change, and changes it once the cause is gone', async () => {
  await prepare(false, `${WAITING}, wake_at = now() - interval '1 minute'`);
  await wakeDueRuns(database, 10);
  expect((await nextTimes(database)).wakeAt).toBeUndefined();
  await fixture.admin.query(`UPDATE durable.workflow_runs SET ${WAITING}, wake_at = now() WHERE id <> '${REFUSED}'`);
  expect((await wakeDueRuns(database, 10)).count).toBe(OTHERS.length);
  await allow();
  // The pause before the next try has passed when another change of the run succeeds.
  database.unwritable.refused('another change', REFUSED, new Error('not this run'));
  database.unwritable.written('another change', REFUSED);
  expect((await wakeDueRuns(database, 10)).count).toBe(1);
  expect(database.unwritable.list(10)).toEqual([]);
});

it.each<[string, () => Promise<unknown>]>([
  ['a takeover', () => takeOver(database, [fence.id], 'unlocked')],
  ['the close of a session', () => closeSession(database, fence.id)],
])('a sweep hands back a run that %s left without a session, once the cause is gone', async (_, work) => {
  await prepare(true, 'priority = 0');
  await work();
  expect(await fixture.admin.query('SELECT id FROM durable.workflow_sessions')).toEqual([]);
  expect(await handBackOwnerless(database)).toEqual([]);
  await allow();
  expect(await handBackOwnerless(database)).toEqual([REFUSED]);
  expect(database.unwritable.list(10)).toEqual([]);
});

it('the sweep of runs without a session does not hand back runs of living sessions', async () => {
  await prepare(true, 'priority = 0');
  await allow();
  expect(await handBackOwnerless(database)).toEqual([]);
});

it('the list of refused runs throws the error of the database after 1,000 runs', () => {
  const error = new Error('not these runs');
  const refuseAll = (): void => {
    for (let run = 0; run <= 1_000; run++) database.unwritable.refused('claim', `run-${run}`, error);
  };
  expect(refuseAll).toThrow(error);
  expect(database.unwritable.list(2_000)).toHaveLength(1_000);
});
