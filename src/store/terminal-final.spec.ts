import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { DataSource } from 'typeorm';

import { JournalFixture, changeOf, startOf, stepOf, waitOf, type OpenJournal } from '../../test/support/faults/journal-fixture.js';
import { requestCancel, sweepAndNotify } from '../../test/support/faults/requests.js';
import type { NewRun, TerminalStatus } from '../core/run.js';
import type { RunChange, Transition } from '../core/transition.js';
import { unblockRuns } from './sql/blocked-runs.js';
import { claimRuns, claimRunsFrom, claimSuspects } from './sql/claim-runs.js';
import { closeSession, takeOver } from './sql/sessions.js';
import { startInTransaction } from './sql/start-in-transaction.js';
import { wakeDueRuns } from './sql/timers.js';

const ENDS: readonly TerminalStatus[] = ['completed', 'failed', 'cancelled'];
const KEYS = [{ queue: 'default', name: 'order', version: 1 }];
const PLACES = KEYS.map((key) => ({ ...key, priority: 0, readyAt: '-infinity' }));
const endOf = (status: TerminalStatus): RunChange => ({
  status,
  output: status === 'completed' ? '"done"' : null,
  error: status === 'completed' ? null : '{}',
  leftovers: 'some',
});
const CLAIM = { keys: KEYS, deploymentId: 'test', limit: 10 };
/** Epoch under which the run ends: it was claimed twice after its start. */
const EPOCH = 3;
const under = (epoch: number, transition: Transition): Transition => ({ ...transition, epoch }) as Transition;

/** Brings a run to its end through as many states as possible that leave something in its row. */
async function bringToItsEnd(zombie: OpenJournal, { submit, database, fence }: OpenJournal, end: TerminalStatus): Promise<void> {
  const id = end;
  await zombie.submit(startOf(id, true));
  await zombie.submit(stepOf(id, 1));
  await takeOver(database, [zombie.sessionId], 'unlocked');
  await claimRuns(database, { ...CLAIM, fence });
  await submit(under(2, changeOf(id, { status: 'waiting', blockedFor: 'other', reason: '{}' })));
  await unblockRuns(database, KEYS, 'test');
  await claimRuns(database, { ...CLAIM, fence });
  await submit(under(EPOCH, changeOf(id, endOf(end))));
}

describe.each(ENDS)('a run that ended as %s', (status) => {
  let fixture: JournalFixture;
  let open: OpenJournal;
  let zombie: OpenJournal;
  let ended: unknown;
  beforeAll(async () => {
    fixture = await JournalFixture.create();
    [open, zombie] = [await fixture.journal(), await fixture.journal()];
    await bringToItsEnd(zombie, open, status);
    ended = await everything();
  });
  afterAll(() => fixture.close());

  /** Reads all rows of the run, with the versions of the rows. */
  const everything = async (): Promise<unknown> =>
    Promise.all(
      ['runs', 'steps', 'waits', 'run_log', 'inbox', 'tags'].map((table) =>
        fixture.admin.query(
          `SELECT t.*, t.xmin::text AS row_version, t.ctid::text FROM durable.workflow_${table} t WHERE ${table === 'runs' ? 'id' : 'run_id'} = '${status}'`,
        ),
      ),
    );
  const owned = (transition: Transition): Transition => under(EPOCH, transition);
  const others = ENDS.filter((other) => other !== status);
  const fenced = { code: 'FENCED' };

  it('has no column that would make it due', () => {
    const [[run]] = ended as [[Record<string, unknown>]];
    expect(run).toMatchObject({ status, epoch: EPOCH, session_id: null, ready_at: null, wake_at: null, finished_at: expect.any(Date) });
  });

  it.each<[string, () => Promise<unknown>]>([
    ['a request to cancel', async () => expect(await requestCancel(open.database, status, '{}', '{}')).toEqual({ id: status, status })],
    [
      'the same end again',
      async () => expect(await open.submit(owned(changeOf(status, endOf(status))))).toMatchObject({ outcome: 'done' }),
    ],
    ...others.map((other): [string, () => Promise<unknown>] => [
      `its end as ${other}`,
      () => expect(open.submit(owned(changeOf(status, endOf(other))))).rejects.toMatchObject(fenced),
    ]),
    ['a suspension', () => open.submit(owned(changeOf(status, { status: 'waiting', wakeAt: Date.now(), wakeCount: 0 })))],
    ['a hand-back', () => open.submit(owned(changeOf(status, { status: 'pending' })))],
    ['a block', () => open.submit(owned(changeOf(status, { status: 'waiting', blockedFor: 'test', reason: '{}' })))],
    ['another result', () => expect(open.submit(owned(stepOf(status, 2)))).rejects.toMatchObject(fenced)],
    ['a wait', () => open.submit(owned(waitOf(status, 'charge', 1)))],
    [
      'an end under its old epoch',
      () => open.submit(changeOf(status, endOf('failed'))).catch((error: unknown) => expect(error).toMatchObject(fenced)),
    ],
    [
      'a late flush of the worker that lost the run',
      () => expect(zombie.submit(changeOf(status, endOf(status)))).rejects.toMatchObject(fenced),
    ],
    ['the timer query', () => wakeDueRuns(open.database, 10)],
    ['a deployment that unblocks runs', () => unblockRuns(open.database, KEYS, 'new')],
    ['a claim', () => claimRuns(open.database, { ...CLAIM, fence: open.fence })],
    ['a claim from a place', () => claimRunsFrom(open.database, { ...CLAIM, fence: open.fence }, PLACES)],
    ['a claim of suspects', () => claimSuspects(open.database, { ...CLAIM, fence: open.fence })],
    [
      'a start with its id',
      async () =>
        expect(await open.submit(startOf(status, false))).toEqual({ outcome: 'exists', name: 'order', status, parentRunId: null }),
    ],
    [
      'a start with its id that this process would execute',
      async () => expect(await open.submit(startOf(status, true))).toMatchObject({ outcome: 'exists' }),
    ],
    ['a start with its id in a transaction', () => startedInTransaction()],
    ['a takeover of its last owner', async () => expect(await takeOver(open.database, [open.sessionId], 'unlocked')).toEqual([])],
    ["the close of its last owner's session", () => closeSession(open.database, open.sessionId)],
    ['a flush of that closed session', () => expect(open.submit(owned(changeOf(status, endOf('failed'))))).rejects.toMatchObject(fenced)],
  ])('stays unchanged after %s', async (_, work) => {
    await work();
    expect(await everything()).toEqual(ended);
  });

  it('stays unchanged when the inbox sweep finds and deletes a late message', async () => {
    await fixture.admin.query(
      `INSERT INTO durable.workflow_inbox (run_id, kind, created_at) VALUES ('${status}', 'cancel', now() - interval '1 hour')`,
    );
    expect(await sweepAndNotify(open.database)).toEqual({ notified: [], cancelled: [] });
    expect(await everything()).toEqual(ended);
  });

  it.each([
    ['made due', `status = 'pending', ready_at = now()`],
    ['made to wait', `status = 'waiting', wake_at = now()`],
    ['assigned to a worker', `status = 'running', session_id = 1`],
    ['paused', `status = 'paused'`],
    ['assigned to a worker with the same status', 'session_id = 1'],
    ['stripped of the time of its end', 'finished_at = NULL'],
    ['set to an unknown status', `status = 'over', finished_at = NULL`],
  ])('cannot be %s by any statement', async (_, set) => {
    await expect(fixture.admin.query(`UPDATE durable.workflow_runs SET ${set} WHERE id = '${status}'`)).rejects.toMatchObject({
      code: '23514',
    });
    expect(await everything()).toEqual(ended);
  });

  async function startedInTransaction(): Promise<void> {
    const { run } = startOf(status, false) as { run: NewRun };
    const dataSource = await new DataSource({ type: 'postgres', url: fixture.admin.url }).initialize();
    const started = await dataSource.transaction((manager) => startInTransaction(open.database, manager, [run], 'given', 'always'));
    await dataSource.destroy();
    expect(started).toMatchObject({ started: [] });
  }
});
