import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';

import { DatabaseClock } from '../core/clock.js';
import { checkQueue, type QueueOptions } from '../core/queue-limits.js';
import { JournalFixture, type OpenJournal } from '../../test/support/faults/journal-fixture.js';
import { waitFor } from '../../test/support/wait.js';
import { Admissions } from './admissions.js';
import type { Database, Statement } from './database.js';
import { admitRuns } from './sql/admit-runs.js';
import { readOpenedKeys } from './sql/opened-keys.js';
import { reserveQueueSlots } from './sql/queue-slots.js';
import { declareQueue, pauseQueue } from './sql/queues.js';

const SLEEPING = `SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event = 'PgSleep'`;

describe('the admission of runs', () => {
  let fixture: JournalFixture;
  let open: OpenJournal;
  beforeAll(async () => {
    fixture = await JournalFixture.create();
    open = await fixture.journal();
  });
  beforeEach(() =>
    fixture.admin.query('DELETE FROM durable.workflow_runs; DELETE FROM durable.workflow_queues; DELETE FROM durable.workflow_queue_keys'),
  );
  afterAll(() => fixture.close());

  const declare = (options: QueueOptions): Promise<boolean> =>
    declareQueue(open.database, { kind: 'queue', name: 'q', json: JSON.stringify(options), limits: checkQueue(options, 'queues.q') });
  /** Inserts due runs of one key; the trigger makes them wait for a place. */
  const insert = (key: string, count: number, priority = 0): Promise<unknown> =>
    fixture.admin.query(
      `INSERT INTO durable.workflow_runs (id, name, version, queue, status, created_at, ready_at, start_nonce, input, queue_key, place, priority)
      SELECT $1 || '-' || $3 || '-' || n, 'w', 1, 'q', 'pending', now(), now() + n * interval '1 millisecond', n, '{}', $1, 'outside', $3::int
      FROM generate_series(1, $2::int) AS n`,
      [key, count, priority],
    );
  const admit = async (keys?: readonly string[]): Promise<string[]> =>
    (await admitRuns(open.database, 'q', keys, 0)).runs.map(({ id }) => id);
  const newAdmissions = (): { admissions: Admissions; admitted: string[]; alarms: { at: number; isCancelled: boolean }[] } => {
    const admitted: string[] = [];
    const alarms: { at: number; isCancelled: boolean }[] = [];
    const clock = new DatabaseClock();
    const at = (time: number): { cancel: () => void } => {
      const alarm = { at: time, isCancelled: false };
      alarms.push(alarm);
      return { cancel: () => void (alarm.isCancelled = true) };
    };
    const due = async (runs: readonly { readonly id: string }[]): Promise<void> => void admitted.push(...runs.map(({ id }) => id));
    const failed = (error: unknown): void => {
      throw error;
    };
    const admissions = new Admissions(open.database, { now: () => clock.now(), at }, { due, failed });
    return { admissions, admitted, alarms };
  };
  const end = (id: string): Promise<unknown> =>
    fixture.admin.query(`UPDATE durable.workflow_runs SET status = 'cancelled', finished_at = now() WHERE id = $1`, [id]);

  it('lets keys take turns, and gives each key its runs by priority and time', async () => {
    await declare({ concurrency: 4 });
    await insert('a', 5);
    await insert('a', 1, 7);
    await insert('b', 1);
    await insert('c', 5);
    expect(await admit()).toEqual(['a-7-1', 'b-0-1', 'c-0-1', 'a-0-1']);
    await end('b-0-1');
    await end('c-0-1');
    expect((await admit()).sort()).toEqual(['a-0-2', 'c-0-2']);
    expect(await admit()).toEqual([]);
  });

  it('cannot be made to give a place twice by callers at the same time', async () => {
    await declare({ concurrency: 7 });
    await insert('a', 50);
    const admitted = await Promise.all(Array.from({ length: 10 }, () => admit().catch(() => [])));
    expect(admitted.flat().length).toBeLessThanOrEqual(7);
    await admit();
    expect(await fixture.admin.query(`SELECT count(*)::int AS n FROM durable.workflow_runs WHERE place = 'admitted'`)).toEqual([{ n: 7 }]);
  });

  it('does not keep a boot or a pause from its work while an admission has the row of the queue locked', async () => {
    await declare({ concurrency: 1 });
    const held = fixture.admin.query(`BEGIN; SELECT 1 FROM durable.workflow_queues FOR UPDATE; SELECT pg_sleep(0.4); COMMIT`);
    let isOver = false;
    void held.then(() => (isOver = true));
    await waitFor(async () => isOver || (await fixture.admin.query(SLEEPING)).length > 0);
    expect(await declare({ concurrency: 1 })).toBe(false);
    await pauseQueue(open.database, 'q', 'paused');
    await held;
    expect(await fixture.admin.query('SELECT is_paused FROM durable.workflow_queues')).toEqual([{ is_paused: true }]);
  });

  it('waits for an admission that is tried again, because another process has locked the queue', async () => {
    await declare({ concurrency: 1 });
    await insert('a', 1);
    const held = fixture.admin.query(`BEGIN; SELECT 1 FROM durable.workflow_queues FOR UPDATE; SELECT pg_sleep(0.4); COMMIT`);
    let isOver = false;
    void held.then(() => (isOver = true));
    await waitFor(async () => isOver || (await fixture.admin.query(SLEEPING)).length > 0);
    const { admissions, admitted } = newAdmissions();
    await admissions.request('q');
    await admissions.settled();
    expect(admitted).toEqual(['a-0-1']);
    admissions.close();
    await held;
  });

  it('looks at the same keys again after another process has locked the queue', async () => {
    await declare({ key: { rateLimit: { limit: 1, period: '1h' } } });
    for (const key of ['a', 'b', 'c']) await insert(key, 1);
    const held = fixture.admin.query(`BEGIN; SELECT 1 FROM durable.workflow_queues FOR UPDATE; SELECT pg_sleep(0.4); COMMIT`);
    let isOver = false;
    void held.then(() => (isOver = true));
    await waitFor(async () => isOver || (await fixture.admin.query(SLEEPING)).length > 0);
    const { admissions, admitted } = newAdmissions();
    await admissions.request('q', 'a');
    await admissions.request('q', 'b');
    await admissions.settled();
    expect(admitted.sort()).toEqual(['a-0-1', 'b-0-1']);
    admissions.close();
    await held;
  });

  it('admits the other runs of a queue while the database refuses to change one of them', async () => {
    await declare({ key: { concurrency: 1 }, rateLimit: { limit: 50, period: '10ms' } });
    await insert('a', 3);
    await insert('b', 1);
    await fixture.admin.query(`CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RAISE EXCEPTION ''not this one''; END';
      CREATE TRIGGER refuse BEFORE UPDATE ON durable.workflow_runs FOR EACH ROW WHEN (OLD.id = 'a-0-1') EXECUTE FUNCTION refuse()`);
    const { admissions, admitted } = newAdmissions();
    await admissions.request('q');
    await admissions.settled();
    expect(admitted.sort()).toEqual(['a-0-2', 'b-0-1']);
    expect(open.database.unwritable.list(10)).toMatchObject([{ runId: 'a-0-1', error: { message: 'not this one' } }]);
    await fixture.admin.query('DROP TRIGGER refuse ON durable.workflow_runs');
    await end('a-0-2');
    await admissions.request('q', 'a');
    await admissions.settled();
    expect(admitted.at(-1)).toBe('a-0-1');
    expect(open.database.unwritable.list(10)).toEqual([]);
    admissions.close();
  });

  it('keeps the alarm for the next slot of a key when another key has a later one', async () => {
    await declare({ key: { rateLimit: { limit: 1, period: '1h' } } });
    await insert('soon', 2);
    await insert('late', 2);
    const { admissions, alarms } = newAdmissions();
    await admissions.request('q', 'soon');
    await fixture.admin.query(`UPDATE durable.workflow_queue_keys SET arrival_at = now() + interval '1 minute' WHERE key = 'soon'`);
    await admissions.request('q', 'soon');
    await admissions.request('q', 'late');
    // The alarm of the hour gave way to the one of the minute, and not the other way round.
    expect(alarms.filter(({ isCancelled }) => !isCancelled).map(({ at }) => at - Date.now() < 30 * 60_000)).toEqual([true]);
    admissions.close();
  });

  it('announces an alarm again that stays, because the announcement may have waited for an earlier one', async () => {
    await declare({ rateLimit: { limit: 1, period: '1h' } });
    await insert('', 2);
    const announced: number[] = [];
    const failed = (error: unknown): void => {
      throw error;
    };
    const opensAt = (at: number): void => void announced.push(at);
    const admissions = new Admissions(open.database, new DatabaseClock(), { due: async () => undefined, failed, opensAt });
    await admissions.request('q');
    await fixture.admin.query(`UPDATE durable.workflow_queues SET arrival_at = arrival_at + interval '1 minute'`);
    await admissions.request('q');
    expect(announced).toEqual([announced[0], announced[0]]);
    admissions.close();
  });

  it.each(['durable_admit', 'durable_opened_keys'])('tries again after an error of the statement %s', async (statement) => {
    await declare({ key: { rateLimit: { limit: 1, period: '1s' } } });
    await insert('a', 2);
    const admitted: string[] = [];
    const failures: unknown[] = [];
    let isBroken = true;
    const query = open.database.query.bind(open.database);
    const database: Database = Object.assign(Object.create(open.database) as Database, {
      query: (given: Statement, values: unknown[]) => {
        if (!isBroken || given.name !== statement) return query(given, values);
        isBroken = false;
        return Promise.reject(new Error('Connection terminated unexpectedly'));
      },
    });
    const due = async (runs: readonly { readonly id: string }[]): Promise<void> => void admitted.push(...runs.map(({ id }) => id));
    const admissions = new Admissions(database, new DatabaseClock(), { due, failed: (error) => void failures.push(error) });
    await admissions.request('q', 'a');
    await waitFor(() => admitted.length === 2);
    expect(failures).toHaveLength(1);
    admissions.close();
  });

  it('finds the keys whose slot opens, and the time of the next one, among keys with waiting runs', async () => {
    await declare({ key: { rateLimit: { limit: 1, period: '1h' } } });
    for (const [key, slot] of Object.entries({
      open: 'now()',
      soon: `now() + interval '0.2 seconds'`,
      later: `now() + interval '1 minute'`,
    })) {
      await insert(key, 1);
      await fixture.admin.query(`INSERT INTO durable.workflow_queue_keys (kind, name, key, arrival_at)
        SELECT 'queue', 'q', k, ${slot} FROM unnest('{${key},idle-${key}}'::text[]) AS k`);
    }
    await insert('new', 1);
    const { keys, moreMs } = await readOpenedKeys(open.database, 'q', 500);
    expect(keys).toEqual(['open', 'soon']);
    expect(moreMs).toBeGreaterThan(50_000);
    expect(moreMs).toBeLessThanOrEqual(60_000);
    expect(await readOpenedKeys(open.database, 'unknown', 500)).toEqual({ keys: [], moreMs: undefined });
    await declare({ concurrency: 2, key: { rateLimit: { limit: 1, period: '1h' } } });
    expect(await readOpenedKeys(open.database, 'q', 500)).toEqual({ keys: 'all', moreMs: undefined });
  });

  it.each(['queue', 'key'])('gives slots of a faster rate of the %s after a change from a slow one', async (over) => {
    const limitedTo = (rateLimit: QueueOptions['rateLimit']): QueueOptions => (over === 'key' ? { key: { rateLimit } } : { rateLimit });
    await declare(limitedTo({ limit: 1, period: '366d', burst: 2 }));
    await insert('a', 4);
    expect((await admitRuns(open.database, 'q', undefined, 0)).runs).toHaveLength(2);
    await declare(limitedTo({ limit: 100, period: '1s' }));
    await waitFor(async () => (await admitRuns(open.database, 'q', undefined, 500)).runs.length > 0);
  });

  it('looks at closed keys in the first turn only', async () => {
    await declare({ concurrency: 100, key: { rateLimit: { limit: 1, period: '1h' } } });
    await fixture.admin.query(
      `INSERT INTO durable.workflow_runs (id, name, version, queue, status, created_at, ready_at, start_nonce, input, queue_key, place)
      SELECT 'k' || n, 'w', 1, 'q', 'pending', now(), now(), n, '{}', 'k' || n, 'outside' FROM generate_series(1, 500) AS n`,
    );
    await fixture.admin.query(`INSERT INTO durable.workflow_queue_keys (kind, name, key, arrival_at)
      SELECT 'queue', 'q', 'k' || n, now() + interval '1 hour' FROM generate_series(1, 500) AS n`);
    await insert('', 100);
    const call = `SELECT count(run)::int AS n FROM durable.workflow_admit_and_claim('q', NULL, 500, 0, NULL, '', 0, '{}', '{}', '')`;
    const [row] = await fixture.admin.query(`WITH admitted AS MATERIALIZED (${call})
      SELECT a.n, (SELECT idx_scan FROM pg_stat_xact_user_tables WHERE schemaname = 'durable' AND relname = 'workflow_queue_keys' AND a.n >= 0)::int AS scans
      FROM admitted AS a`);
    expect(row).toMatchObject({ n: 100 });
    expect(row!.scans).toBeLessThan(600);
  });

  it('passes over the runs of a key whose slot is closed without locking them, unless one has started', async () => {
    await declare({ key: { rateLimit: { limit: 1, period: '1h' } } });
    for (const key of ['a', 'b', 'c']) await insert(key, 2);
    await fixture.admin.query(`UPDATE durable.workflow_runs SET started_at = now() WHERE id = 'b-0-2'`);
    await fixture.admin.query(`INSERT INTO durable.workflow_queue_keys (kind, name, key, arrival_at)
      SELECT 'queue', 'q', k, now() + interval '1 hour' FROM unnest('{a,b,c}'::text[]) AS k`);
    const { runs, moreMs } = await admitRuns(open.database, 'q', undefined, 500);
    expect(runs.map(({ id }) => id)).toEqual(['b-0-2']);
    expect(moreMs).toBeGreaterThan(3_500_000);
    const locked = await fixture.admin.query(`SELECT id FROM durable.workflow_runs WHERE xmax <> 0 ORDER BY id`);
    expect(locked).toEqual([{ id: 'b-0-1' }, { id: 'b-0-2' }]);
  });

  it('admits runs of more keys than one statement looks at', async () => {
    await declare({ key: { concurrency: 1 } });
    await fixture.admin.query(
      `INSERT INTO durable.workflow_runs (id, name, version, queue, status, created_at, ready_at, start_nonce, input, queue_key, place)
      SELECT 'k' || n, 'w', 1, 'q', 'pending', now(), now(), n, '{}', 'k' || n, 'outside' FROM generate_series(1, 1200) AS n`,
    );
    const { admissions, admitted } = newAdmissions();
    await Promise.all(Array.from({ length: 1_200 }, (_, index) => admissions.request('q', `k${index + 1}`)));
    expect(new Set(admitted).size).toBe(1_200);
    admissions.close();
  });

  it('names a time for the next look only when a rate limit opens at that time', async () => {
    await declare({ concurrency: 1 });
    await insert('a', 2);
    expect(await admitRuns(open.database, 'q', undefined, 0)).toMatchObject({ runs: [{ id: 'a-0-1' }], moreMs: undefined });
    // The place is taken, and its end requests the next admission.
    expect(await admitRuns(open.database, 'q', undefined, 0)).toEqual({ runs: [], claimed: [], moreMs: undefined });
    await declare({ concurrency: 5, rateLimit: { limit: 1, period: '1h' } });
    expect((await admitRuns(open.database, 'q', undefined, 500)).runs).toHaveLength(1);
    await insert('b', 1);
    const { runs, moreMs } = await admitRuns(open.database, 'q', undefined, 500);
    expect(runs).toEqual([]);
    expect(moreMs).toBeGreaterThan(1);
  });

  it('claims admitted runs that the worker serves, and only as many as it has room for', async () => {
    await declare({ concurrency: 4 });
    await insert('a', 5);
    await fixture.admin.query(`UPDATE durable.workflow_runs SET version = 2 WHERE id = 'a-0-1'`);
    await fixture.admin.query(`UPDATE durable.workflow_runs SET blocked_deployments = '{mine}' WHERE id = 'a-0-2'`);
    const claim = { fence: open.fence, keys: [{ queue: 'q', name: 'w', version: 1 }], deploymentId: 'mine', limit: 1 };
    const { runs, claimed } = await admitRuns(open.database, 'q', undefined, 0, claim);
    expect(runs.map(({ id }) => id)).toEqual(['a-0-1', 'a-0-2', 'a-0-4']);
    expect(claimed).toMatchObject([{ id: 'a-0-3', epoch: 1, hasPlace: true, input: '{}', queueKey: 'a' }]);
    const rows = await fixture.admin.query(
      `SELECT id, status, epoch, session_id::text AS session, ready_at IS NULL AS "isTaken" FROM durable.workflow_runs WHERE place = 'admitted' ORDER BY id`,
    );
    const pending = { status: 'pending', epoch: 0, session: null, isTaken: false };
    const running = { status: 'running', epoch: 1, session: open.fence.id, isTaken: true };
    expect(rows).toEqual(['a-0-1', 'a-0-2', 'a-0-3', 'a-0-4'].map((id) => ({ id, ...(id === 'a-0-3' ? running : pending) })));
  });

  it('claims nothing for a session that has ended, or on another server', async () => {
    await declare({ concurrency: 4 });
    const claim = { keys: [{ queue: 'q', name: 'w', version: 1 }], deploymentId: 'mine', limit: 2 };
    for (const fence of [
      { ...open.fence, id: '1' },
      { ...open.fence, server: 'another' },
    ]) {
      await insert(fence.id, 2);
      expect(await admitRuns(open.database, 'q', undefined, 0, { ...claim, fence })).toMatchObject({ runs: [{}, {}], claimed: [] });
    }
    expect(await fixture.admin.query(`SELECT count(*)::int AS n FROM durable.workflow_runs WHERE status = 'pending'`)).toEqual([{ n: 4 }]);
  });

  it('gives slots of a rate limit that are an interval apart', async () => {
    await declare({ rateLimit: { limit: 10, period: '1s' } });
    await insert('a', 20);
    await admitRuns(open.database, 'q', undefined, 1_000);
    const [row] = await fixture.admin.query(`SELECT count(*)::int AS n, min(gap)::float8 AS gap FROM (
      SELECT extract(epoch FROM opens_at - lag(opens_at) OVER (ORDER BY opens_at)) * 1000 AS gap FROM durable.workflow_runs WHERE opens_at IS NOT NULL) AS g`);
    expect(row!.n).toBeGreaterThanOrEqual(9);
    expect(row!.n).toBeLessThanOrEqual(11);
    expect(row!.gap).toBeGreaterThanOrEqual(100);
  });

  it('keeps fractions of a millisecond between the slots of a rate limit', async () => {
    await declare({ rateLimit: { limit: 7, period: '1m' } });
    const keys = Array.from({ length: 101 }, () => '');
    const slots = (await reserveQueueSlots(open.database, 'q', keys)).map(Number);
    // Seven slots share a minute and 600 ms.
    expect(slots.at(-1)! - slots[0]!).toBeCloseTo((100 * 60_600) / 7, 1);
  });

  it('reads few pages while one key has many runs that it may not admit, on tables without statistics', async () => {
    await declare({ key: { concurrency: 1 } });
    const pages = async (keys: string): Promise<number> => {
      const call = `SELECT * FROM durable.workflow_admit_and_claim('q', '{${keys}}', 500, 0, NULL, '', 0, '{}', '{}', '')`;
      const [row] = await fixture.admin.query(`EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) ${call}`);
      const [{ Plan: plan }] = row!['QUERY PLAN'] as [{ Plan: Record<string, number> }];
      return plan['Shared Hit Blocks']! + plan['Shared Read Blocks']!;
    };
    // The connection plans the statements of the function while the table is empty, and keeps the
    // plans.
    await fixture.admin.query('TRUNCATE durable.workflow_runs CASCADE');
    for (let calls = 0; calls < 10; calls++) await pages('stuck,other');
    await insert('stuck', 20_000);
    await insert('other', 4);
    await insert('third', 4);
    expect((await admit(['stuck', 'other', 'third'])).sort()).toEqual(['other-0-1', 'stuck-0-1', 'third-0-1']);
    /** The least of three calls, because a call that plans a statement also reads the catalogs. */
    const leastPages = async (key: string, keys: string): Promise<number> => {
      const counts: number[] = [];
      for (const n of [1, 2, 3]) {
        await end(`${key}-0-${n}`);
        counts.push(await pages(keys));
      }
      expect(await admit([key])).toEqual([]);
      return Math.min(...counts);
    };
    expect(await leastPages('other', 'stuck,other')).toBeLessThan(200);
    expect(await leastPages('third', 'third')).toBeLessThan(200);
  });
});
