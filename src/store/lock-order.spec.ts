import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import pg from 'pg';

import type { SessionFence } from './session-fence.js';
import { JournalFixture, changeOf, newSession, startOf, stepOf } from '../../test/support/faults/journal-fixture.js';
import { waitFor } from '../../test/support/wait.js';
import { Database, type Statement } from './database.js';
import { toFlushRows } from './flush-rows.js';
import { unblockRuns } from './sql/blocked-runs.js';
import { claimRuns, claimRunsFrom, claimSuspects, type Claim } from './sql/claim-runs.js';
import { deleteRuns } from './sql/delete-runs.js';
import { flush } from './sql/flush.js';
import { findLockedRuns } from './sql/find-locked-runs.js';
import { findTrees } from './sql/run-trees.js';
import { closeSession, takeOver } from './sql/sessions.js';
import { sweepInbox } from './sql/sweep-inbox.js';
import { wakeDueRuns } from './sql/timers.js';

const FIRST = 'run-1';
const OTHERS = ['run-2', 'run-3', 'run-4', 'run-5'];
/**
 * The opposite order of the ids. The table and the parameters contain the runs in this order, so
 * that a statement that does not sort locks the last run first.
 */
const REVERSED = [FIRST, ...OTHERS].reverse();
const KEYS = [{ queue: 'default', name: 'order', version: 1 }];
const PLACES = KEYS.map((key) => ({ ...key, priority: 0, readyAt: '-infinity' }));

/**
 * A database whose statements wait for locks until the test has looked. They cannot use an index,
 * whose order could be the right one by chance.
 */
class PatientDatabase extends Database {
  override async query<Row extends unknown[]>(statement: Statement, values: unknown[], client?: pg.ClientBase): Promise<Row[]> {
    return client ? super.query<Row>(statement, values, client) : this.transaction((own) => super.query<Row>(statement, values, own));
  }

  override async transaction<T>(work: (client: pg.PoolClient) => Promise<T>): Promise<T> {
    return super.transaction(async (client) => {
      await client.query('SET LOCAL lock_timeout = 0; SET LOCAL enable_indexscan = off; SET LOCAL enable_indexonlyscan = off');
      return work(client);
    });
  }
}

describe('the lock order of statements', () => {
  let fixture: JournalFixture;
  let holder: pg.Client;
  /** Database whose statements have the usual lock timeout. */
  let brisk: Database;
  let database: Database;
  let fence: SessionFence;
  let sessionId: string;
  beforeAll(async () => {
    fixture = await JournalFixture.create();
    holder = new pg.Client({ connectionString: fixture.admin.url });
    await holder.connect();
    brisk = new Database({ connectionString: fixture.admin.url }, { poolSize: 1 });
    database = new PatientDatabase({ connectionString: fixture.admin.url }, { poolSize: 2 });
  });
  beforeEach(async () => {
    await fixture.admin.query('TRUNCATE durable.workflow_runs, durable.workflow_steps, durable.workflow_inbox, durable.workflow_sessions');
    fence = await newSession(brisk, 600_000);
    sessionId = fence.id;
  });
  // Only a failed test leaves its transaction open.
  afterEach(() => holder.query('ROLLBACK'));
  afterAll(async () => {
    await holder.end();
    await database.close();
    await brisk.close();
    await fixture.close();
  });

  const claim = (): Claim => ({ fence, keys: KEYS, deploymentId: 'test', limit: 10 });
  const start = async (owned: boolean): Promise<void> => {
    for (const id of REVERSED) await flush(brisk, fence, toFlushRows([startOf(id, owned)]));
  };
  const update = (set: string, where = 'true'): Promise<unknown[]> =>
    fixture.admin.query(`UPDATE durable.workflow_runs SET ${set} WHERE ${where}`);
  const statuses = async (): Promise<string[]> =>
    (await fixture.admin.query('SELECT status FROM durable.workflow_runs ORDER BY id')).map(({ status }) => status);
  /** Selects the runs whose rows are not locked. */
  const free = async (ids: readonly string[]): Promise<string[]> =>
    (await fixture.admin.query('SELECT id FROM durable.workflow_runs WHERE id = ANY ($1) ORDER BY id FOR UPDATE SKIP LOCKED', [ids])).map(
      ({ id }) => id,
    );

  /**
   * Locks rows with `sql`, starts `work`, waits until `work` waits for the lock, calls `look`, and
   * releases the lock.
   */
  async function whileHeld<T>(sql: string, work: () => Promise<T>, look: () => Promise<void>): Promise<T> {
    await holder.query('BEGIN');
    await holder.query(sql);
    const [{ pid }] = (await holder.query<{ pid: number }>('SELECT pg_backend_pid() AS pid')).rows as [{ pid: number }];
    const working = work();
    working.catch(() => undefined);
    const blocked = 'SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND $1 = ANY (pg_blocking_pids(pid))';
    await waitFor(async () => (await fixture.admin.query(blocked, [pid])).length > 0, { message: 'the statement to wait' });
    await look();
    await holder.query('ROLLBACK');
    return working;
  }

  const firstRun = `SELECT 1 FROM durable.workflow_runs WHERE id = '${FIRST}' FOR UPDATE`;

  describe('locks of several runs', () => {
    const othersAreFree = async (): Promise<void> => expect(await free(OTHERS)).toEqual(OTHERS);

    it('a flush that changes several runs locks them in the order of their ids', async () => {
      await start(true);
      const rows = toFlushRows(REVERSED.map((id) => changeOf(id)));
      await whileHeld(firstRun, () => flush(database, fence, rows), othersAreFree);
      expect(await statuses()).toEqual(REVERSED.map(() => 'completed'));
    });

    it('a flush that starts several runs inserts them in the order of their ids', async () => {
      const rows = toFlushRows(REVERSED.map((id) => startOf(id, false)));
      const insert = (
        id: string,
      ): string => `INSERT INTO durable.workflow_runs (id, name, version, queue, status, created_at, ready_at, start_nonce, input)
        VALUES ('${id}', 'order', 1, 'default', 'pending', now(), now(), 1, '{}')`;
      // Another transaction's uncommitted row cannot be inserted without waiting for that
      // transaction.
      const othersAreAbsent = async (): Promise<void> => {
        await fixture.admin.query(`BEGIN; SET LOCAL lock_timeout = '1s'; ${OTHERS.map(insert).join('; ')}; COMMIT`);
      };
      const result = await whileHeld(insert(FIRST), () => flush(database, null, rows), othersAreAbsent);
      expect(result.starts).toBe(1);
    });

    it('the close of a session locks its runs in the order of their ids', async () => {
      await start(true);
      await whileHeld(firstRun, () => closeSession(database, sessionId), othersAreFree);
      expect(await statuses()).toEqual(REVERSED.map(() => 'pending'));
    });

    it('a deletion locks its runs before their other rows', async () => {
      await start(false);
      await update(`status = 'completed', finished_at = now(), ready_at = NULL`);
      const lives = await findTrees(
        brisk,
        REVERSED.map((id) => ({ id })),
      );
      const look = async (): Promise<void> => expect(await free(REVERSED)).toEqual([]);
      // The deletion waits for a row of the run log, and has locked the runs before.
      const [{ id }] = (await fixture.admin.query(
        `INSERT INTO durable.workflow_run_log (run_id, kind) VALUES ('run-5', 'noted') RETURNING id`,
      )) as [{ id: string }];
      const deleted = await whileHeld(
        `SELECT 1 FROM durable.workflow_run_log WHERE id = ${id} FOR UPDATE`,
        () => deleteRuns(database, lives, 'fail'),
        look,
      );
      expect(deleted.toSorted()).toEqual([FIRST, ...OTHERS]);
      expect(await fixture.admin.query('SELECT 1 FROM durable.workflow_run_log')).toEqual([]);
    });

    it('a takeover locks its runs in the order of their ids', async () => {
      await start(true);
      const lost = await whileHeld(firstRun, () => takeOver(database, [sessionId], 'unlocked'), othersAreFree);
      expect(lost).toHaveLength(REVERSED.length);
    });
  });

  it('a takeover locks several sessions in the order of their ids', async () => {
    await fixture.admin
      .query(`DELETE FROM durable.workflow_sessions; INSERT INTO durable.workflow_sessions (id, kind, host, pid, deployment_id, expires_at, holds_lock)
      OVERRIDING SYSTEM VALUE SELECT id, 'worker', '', 1, '', now(), true FROM unnest('{4, 3, 2, 1}'::bigint[]) AS id`);
    const look = async (): Promise<void> => {
      const rows = await fixture.admin.query('SELECT id FROM durable.workflow_sessions ORDER BY id FOR UPDATE SKIP LOCKED');
      expect(rows.map(({ id }) => id)).toEqual(['2', '3', '4']);
    };
    const first = 'SELECT 1 FROM durable.workflow_sessions WHERE id = 1 FOR KEY SHARE';
    await whileHeld(first, () => takeOver(database, ['4', '3', '2', '1'], 'unlocked'), look);
    expect(await fixture.admin.query('SELECT id FROM durable.workflow_sessions')).toEqual([]);
  });

  describe('the locks of a session and its runs', () => {
    const runsAreFree = async (): Promise<void> => expect(await free(REVERSED)).toEqual(REVERSED.toReversed());
    const deleteSession = (): string => `DELETE FROM durable.workflow_sessions WHERE id = ${sessionId}`;
    const useSession = (): string => `SELECT 1 FROM durable.workflow_sessions WHERE id = ${sessionId} FOR KEY SHARE`;

    it.each<[string, boolean, () => string, () => Promise<unknown>]>([
      ['a flush', true, deleteSession, () => flush(database, fence, toFlushRows(REVERSED.map((id) => changeOf(id))))],
      ['the close of a session', true, useSession, () => closeSession(database, sessionId)],
      ['a takeover', true, useSession, () => takeOver(database, [sessionId], 'unlocked')],
      ['a claim', false, deleteSession, () => claimRuns(database, claim())],
      ['a claim from a place', false, deleteSession, () => claimRunsFrom(database, claim(), PLACES)],
    ])('%s locks the session before the runs', async (_, owned, held, work) => {
      await start(owned);
      await whileHeld(held(), work, runsAreFree);
      expect(await statuses()).not.toContain(owned ? 'running' : 'pending');
    });

    it('a claim of suspects locks the session before the runs', async () => {
      await start(false);
      await update('worker_losses = 2');
      await whileHeld(deleteSession(), () => claimSuspects(database, claim()), runsAreFree);
      expect(await statuses()).toContain('running');
    });
  });

  it('a flush locks a run before it inserts the steps of the run', async () => {
    await start(true);
    const rows = toFlushRows([stepOf(FIRST, 1), changeOf(FIRST)]);
    // Another transaction's uncommitted row cannot be inserted without waiting for that
    // transaction.
    const stepIsAbsent = async (): Promise<void> => {
      await fixture.admin.query(`BEGIN; SET LOCAL lock_timeout = '1s'; INSERT INTO durable.workflow_steps
        (run_id, step_key, started_at, finished_at, seq, epoch, attempts, called_after, called_after_io, kind, status)
        VALUES ('${FIRST}', 'step#1', now(), now(), 1, 1, 1, 0, false, 'step', 'completed'); ROLLBACK`);
    };
    await whileHeld(firstRun, () => flush(database, fence, rows), stepIsAbsent);
    expect((await statuses())[0]).toBe('completed');
  });

  describe('a run that another transaction locks', () => {
    it.each<[string, string, () => Promise<unknown>]>([
      ['a claim', 'worker_losses = 0', () => claimRuns(brisk, claim())],
      ['a claim from a place', 'worker_losses = 0', () => claimRunsFrom(brisk, claim(), PLACES)],
      ['the timer query', `status = 'waiting', ready_at = NULL, wake_at = now()`, () => wakeDueRuns(brisk, 10)],
      [
        'a deployment that unblocks runs',
        `status = 'waiting', ready_at = NULL, blocked_deployments = '{other}', is_blocked = true`,
        () => unblockRuns(brisk, KEYS, 'test'),
      ],
      ['the inbox sweep', `status = 'waiting', ready_at = NULL, started_at = now()`, () => sweepInbox(brisk, 1e9)],
    ])('%s skips the locked run without waiting', async (_, set, work) => {
      await start(false);
      await update(set);
      const [before] = await statuses();
      await fixture.admin.query(
        `INSERT INTO durable.workflow_inbox (run_id, kind, created_at) SELECT id, 'cancel', now() - interval '1 hour' FROM durable.workflow_runs`,
      );
      await holder.query('BEGIN');
      await holder.query(firstRun);
      await work();
      await holder.query('ROLLBACK');
      const after = await statuses();
      expect(after[0]).toBe(before);
      expect(after.slice(1)).not.toContain(before);
    });

    it('a claim of suspects skips the locked run without waiting', async () => {
      await start(false);
      await update('worker_losses = 2');
      await update('worker_losses = 3', `id = '${FIRST}'`);
      await holder.query('BEGIN');
      await holder.query(firstRun);
      const runs = await claimSuspects(brisk, claim());
      expect(runs.map(({ id }) => id)).toEqual(['run-2']);
    });

    it('the query for locked runs finds the locked run without waiting', async () => {
      await start(false);
      await holder.query('BEGIN');
      await holder.query(firstRun);
      expect(await findLockedRuns(brisk, REVERSED)).toEqual(new Set([FIRST]));
    });
  });
});
