import { afterAll, afterEach, beforeAll, describe, expect, it, jest } from '@jest/globals';
import pg from 'pg';

import { JournalFixture, changeOf, startOf, stepOf, submit, waitOf, type OpenJournal } from '../../test/support/faults/journal-fixture.js';
import { requestCancel } from '../../test/support/faults/requests.js';
import { seconds } from '../../test/support/wait.js';
import { bumpRuns, findMissed } from './sql/bump-runs.js';
import { claimNamed, claimRuns, claimRunsFrom, claimSuspects } from './sql/claim-runs.js';
import { deleteRuns } from './sql/delete-runs.js';
import { scanExpired } from './sql/expired-runs.js';
import { forkRun } from './sql/fork-run.js';
import { findLockedRuns } from './sql/find-locked-runs.js';
import { describeHook, resumeHook } from './sql/hooks.js';
import { findMovedRuns, listOwnedRuns } from './sql/owned-runs.js';
import { readChannels, readInboxes } from './sql/read-inbox.js';
import { loadHistories } from './sql/load-histories.js';
import { findUnpaused, notifyOfPause, resumeRun, sendPause } from './sql/pause-run.js';
import { readRunEnds } from './sql/read-runs.js';
import { findTrees, readDeletable } from './sql/run-trees.js';
import { sendResolution } from './sql/resolve-step.js';
import { retryRun } from './sql/retry-run.js';
import { forwardMessages, sendSignal } from './sql/send-signal.js';
import { heartbeat, type QuickExecutor } from './sql/sessions.js';
import { sweepInbox } from './sql/sweep-inbox.js';
import { nextTimes, wakeDueRuns } from './sql/timers.js';
import { identifyRuns, identifySteps } from './sql/identify-writes.js';
import { adoptSlice } from './sql/adopt-runs.js';
import { freeOrphanedMembers } from './sql/orphaned-members.js';
import { pauseQueue } from './sql/queues.js';
import { forgetWakeUps, readWakeUps, resendWakeUps, wakeListed } from './sql/outbox.js';

/** Longer than the lock timeout, and much shorter than the timeout of an unanswered query. */
const SOON_MS = seconds(3);

const ids = (prefix: string, count: number): string[] => Array.from({ length: count }, (_, index) => `${prefix}-${index + 1}`);
const pooled = (fixture: JournalFixture): Promise<OpenJournal> => fixture.journal({ pooler: 'transaction' });

describe("connections without the module's settings while another transaction locks rows", () => {
  let fixture: JournalFixture;
  let open: OpenJournal;
  let holder: pg.Client;
  beforeAll(async () => {
    fixture = await JournalFixture.create();
    open = await pooled(fixture);
    holder = new pg.Client({ connectionString: fixture.admin.url });
    await holder.connect();
  });
  // Only a failed test leaves its transaction open.
  afterEach(() => holder.query('ROLLBACK'));
  afterAll(async () => {
    await holder.end();
    await fixture.close();
  });

  const soon = <T>(work: Promise<T>): Promise<T | 'late'> =>
    Promise.race([work, new Promise<'late'>((resolve) => setTimeout(() => resolve('late'), SOON_MS).unref())]);

  it('the journal writes other runs at once, and the locked run once it is free', async () => {
    await Promise.all(ids('run', 20).map((id) => open.submit(startOf(id, true))));
    await holder.query('BEGIN');
    await holder.query(`SELECT id FROM durable.workflow_runs WHERE id = 'run-1' FOR UPDATE`);
    const [held, ...others] = ids('run', 20).map((id) => open.submit(changeOf(id)));
    expect(await soon(Promise.all(others))).not.toBe('late');
    await holder.query('COMMIT');
    await expect(held).resolves.toMatchObject({ outcome: 'done' });
  });

  it('a start waits for an uncommitted row with the same id, and other starts continue', async () => {
    await holder.query('BEGIN');
    await holder.query(`INSERT INTO durable.workflow_runs (id, name, version, queue, status, created_at, ready_at, start_nonce, input)
      VALUES ('uncommitted', 'order', 1, 'default', 'pending', now(), now(), 1, '{}')`);
    // Without a session, no part of the statement reads one.
    open.journal.useSession(null);
    const started = submit(open.journal, startOf('uncommitted', false));
    const others = ids('other', 5).map((id) => submit(open.journal, startOf(id, false)));
    expect(await soon(Promise.all(others))).not.toBe('late');
    await holder.query('ROLLBACK');
    open.journal.useSession(open.fence);
    await expect(started).resolves.toMatchObject({ outcome: 'done' });
  });

  it('a heartbeat, a request to cancel and a claim fail or return soon', async () => {
    await open.submit(startOf('held', false));
    await holder.query('BEGIN');
    await holder.query(`SELECT id FROM durable.workflow_runs WHERE id = 'held' FOR UPDATE`);
    await holder.query('SELECT id FROM durable.workflow_sessions FOR UPDATE');
    const claim = { fence: open.fence, keys: [{ queue: 'default', name: 'order', version: 1 }], deploymentId: 'd', limit: 1 };
    const codeOf = (work: Promise<unknown>): Promise<unknown> =>
      soon(
        work.then(
          () => 'done',
          (error: { code?: unknown }) => error.code,
        ),
      );
    const reserved: QuickExecutor = (statement, values) => open.database.reserved(statement, values);
    expect(await codeOf(heartbeat([reserved], () => ({ id: open.sessionId, ttlMs: 600_000, holdsLock: false })))).toBe('55P03');
    expect(await codeOf(claimRuns(open.database, claim))).toBe('55P03');
    expect(await soon(requestCancel(open.database, 'held', '{}', '{}'))).toEqual({ id: 'held', status: 'pending' });
  });
});

interface PlanNode {
  readonly 'Node Type': string;
  readonly 'Relation Name'?: string;
  readonly 'Parent Relationship'?: string;
  /** Present in a plan that was executed. */
  readonly 'Actual Loops'?: number;
  readonly Plans?: readonly PlanNode[];
}

/**
 * Lists the tables that a plan reads from end to end. PostgreSQL 13 shows two plans of some
 * subqueries, and chooses one at execution. The plan that was not executed does not count.
 */
function scannedBy(node: PlanNode): string[] {
  if (node['Parent Relationship'] === 'SubPlan' && node['Actual Loops'] === 0) return [];
  const own = node['Node Type'].endsWith('Seq Scan') && node['Relation Name'] ? [node['Relation Name']] : [];
  return [...own, ...(node.Plans ?? []).flatMap(scannedBy)];
}

const FILL = `
INSERT INTO durable.workflow_runs (id, name, queue, status, created_at, ready_at, wake_at, started_at, finished_at, session_id, start_nonce, version, epoch, input)
SELECT kind || '-' || n, 'order', 'default', status, now(), CASE WHEN status = 'pending' THEN now() END, CASE WHEN status = 'waiting' THEN now() + n * interval '1 s' END,
  now(), CASE WHEN status IN ('completed', 'failed') THEN now() END, CASE WHEN status = 'running' THEN 1 END, n, 1, 1, '{}'
FROM (VALUES ('done', 'completed', 20000), ('broken', 'failed', 100), ('due', 'pending', 5000), ('asleep', 'waiting', 5000), ('mine', 'running', 5000)) AS k(kind, status, count), generate_series(1, k.count) AS n;
INSERT INTO durable.workflow_steps (run_id, step_key, started_at, finished_at, seq, epoch, attempts, called_after, called_after_io, kind, status, output)
SELECT 'mine-' || n, 's#' || i, now(), now(), i, 1, 1, 0, false, 'step', 'completed', '1' FROM generate_series(1, 5000) AS n, generate_series(1, 5) AS i;
INSERT INTO durable.workflow_waits (run_id, step_key, kind, wake_at, opened_at) SELECT 'mine-' || n, 'sleep', 'sleep', now(), now() FROM generate_series(1, 5000) AS n;
INSERT INTO durable.workflow_hooks (token, run_id, step_key) VALUES ('token', 'mine-1', 'hook');
INSERT INTO durable.workflow_inbox (run_id, kind, payload, created_at) SELECT 'mine-' || n, 'cancel', '{}', now() - interval '1 min' FROM generate_series(1, 5000) AS n`;
const LARGE = new Set(['runs', 'steps', 'waits', 'inbox'].map((table) => `workflow_${table}`));
const TABLES = ['runs', 'steps', 'waits', 'inbox', 'run_log', 'tags'].map((table) => `durable.workflow_${table}`);

describe("connections without the module's settings and a large table", () => {
  it.each([
    ['never analysed', [FILL]],
    ['analysed while empty', [`ANALYZE ${TABLES.join(', ')}`, FILL]],
    ['analysed', [FILL, `ANALYZE ${TABLES.join(', ')}`]],
  ])('no statement scans a large table that was %s', async (_, statements) => {
    const fixture = await JournalFixture.create();
    try {
      const { database, journal, sessionId, fence } = await pooled(fixture);
      for (const table of TABLES) await fixture.admin.query(`ALTER TABLE ${table} SET (autovacuum_enabled = off)`);
      for (const statement of statements) await fixture.admin.query(statement);

      const scanned = new Set<string>();
      let explained = 0;
      const query = database.pool.query.bind(database.pool) as (config: pg.QueryConfig) => Promise<pg.QueryResult>;
      const [server] = await fixture.admin.query<{ choosesLate: boolean }>(
        `SELECT current_setting('server_version_num')::int < 140000 AS "choosesLate"`,
      );
      const explain = async (text: string, values: unknown[]): Promise<pg.QueryResult> => {
        if (!server?.choosesLate) return query({ text: `EXPLAIN (FORMAT JSON) ${text}`, values });
        const client = await database.pool.connect();
        try {
          await client.query('BEGIN');
          return await client.query({ text: `EXPLAIN (ANALYZE, TIMING OFF, FORMAT JSON) ${text}`, values });
        } finally {
          await client.query('ROLLBACK');
          client.release();
        }
      };
      // Each statement is explained with its values, and then executed.
      jest.spyOn(database.pool, 'query').mockImplementation((async (config: pg.QueryConfig) => {
        const { text, values = [] } = config;
        const { rows } = await explain(text, values);
        explained++;
        for (const table of scannedBy(rows[0]['QUERY PLAN'][0].Plan)) if (LARGE.has(table)) scanned.add(`${table}: ${text}`);
        return query(config);
      }) as never);

      const mine = ids('mine', 500);
      const claim = { fence, keys: [{ queue: 'default', name: 'order', version: 1 }], deploymentId: 'd', limit: 50 };
      await loadHistories(database, mine);
      await readInboxes(
        database,
        mine.map((runId) => ({ runId, floor: 0n, room: 10, bytes: 1_000 })),
        ['1'],
      );
      await readChannels(database, 'mine-1', ['signal:go'], ['1'], { count: 10, bytes: 1_000 });
      await findLockedRuns(database, mine);
      await findMovedRuns(
        database,
        sessionId,
        mine.map((id) => ({ id, wakeCount: 0 })),
      );
      await identifySteps(
        database,
        mine.map((runId) => ({ runId, stepKey: 's#1' })),
      );
      await identifyRuns(database, mine);
      await readRunEnds(database, mine);
      await listOwnedRuns(database, '12345');
      await claimRuns(database, claim);
      await claimRunsFrom(database, claim, [{ ...claim.keys[0]!, priority: 0, readyAt: '2020-01-01' }]);
      await claimSuspects(database, claim);
      await claimNamed(database, claim, 'due-4000', 0);
      await readWakeUps(database, [...ids('due', 500), ...ids('asleep', 500)]);
      await resendWakeUps(database, claim.keys, 'd', 100);
      await wakeListed(database, 100);
      await forgetWakeUps(database);
      await pauseQueue(database, 'elsewhere', 'paused');
      await adoptSlice(database);
      await freeOrphanedMembers(database, new AbortController().signal);
      await wakeDueRuns(database, 10);
      await nextTimes(database);
      await requestCancel(database, 'asleep-1', '{}', '{}');
      await bumpRuns(database, mine);
      await findMissed(database, mine);
      await sendPause(database, 'asleep-2', '{}');
      await notifyOfPause(database, ['asleep-2']);
      await findUnpaused(database, mine.slice(0, 2));
      await resumeRun(database, 'asleep-2', '{}');
      await sendResolution(database, { runId: 'asleep-3', stepKey: 's', kind: 'resolve', payload: '1', note: '{}' });
      await sendSignal(database, { runId: 'asleep-4', name: 'go', payload: '1', idempotencyKey: 'once', note: null });
      await sendSignal(database, { runId: 'asleep-4', name: 'go', payload: '1', idempotencyKey: null, note: null });
      await retryRun(database, { runId: 'broken-1', generation: 0, fromStep: null, note: '{}' });
      await describeHook(database, 'token');
      await resumeHook(database, 'token', '1', null);
      await resumeHook(database, 'token', '1', { id: 'd1', digest: '"x"' });
      await forwardMessages(database, 'mine-2');
      await forkRun(database, {
        runId: 'mine-1',
        newId: 'fork',
        fromStep: 's#2',
        nonce: '1',
        deploymentId: 'd',
        note: '{}',
        noteOfNew: '{}',
      });
      const rules = { workflows: {}, others: { completed: 1, failed: 1 } };
      const [scanned1] = await scanExpired(database, { createdAt: '2020-01-01', id: '' }, rules);
      const [expired] = await scanExpired(database, scanned1!, rules);
      await findTrees(database, [expired!], rules);
      const ended = await findTrees(
        database,
        ids('done', 200).map((id) => ({ id, ways: 'both' })),
      );
      expect(ended.length).toBe(200);
      await deleteRuns(database, ended, 'fail');
      expect(await deleteRuns(database, await findTrees(database, [{ id: 'done-300' }], rules), 'leave out')).toEqual(['done-300']);
      await readDeletable(database, 'done-400');
      const write = (transitions: Parameters<typeof submit>[1][]) => Promise.all(transitions.map((each) => submit(journal, each)));
      await write(ids('new', 400).map((id) => startOf(id, true, { tags: { a: 'b' } })));
      await write(ids('new', 400).map((id) => stepOf(id, 1)));
      await write(ids('new', 400).map((id) => waitOf(id, 'pause', 1)));
      await write(ids('new', 400).map((id) => stepOf(id, 2, { stepKey: 'pause' }, true)));
      await write(ids('new', 400).map((id) => changeOf(id, { status: 'completed', output: '1', error: null, leftovers: 'some' })));
      expect(explained).toBeGreaterThanOrEqual(20);
      expect([...scanned]).toEqual([]);

      // The sweep reads the whole inbox, which holds only messages not yet taken. It must not read
      // all runs.
      await sweepInbox(database, 1e9);
      expect([...scanned].filter((each) => !each.startsWith('workflow_inbox:'))).toEqual([]);
    } finally {
      await fixture.close();
    }
  });
});
