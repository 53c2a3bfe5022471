import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';

import type { Database } from '../../src/store/database.js';
import { findBlockedRuns, findDueRuns, findSuspects, listSessions } from '../../src/store/sql/health.js';
import { countForMetrics } from '../../src/store/sql/metrics.js';
import { ExplainingDatabase } from '../support/explaining-database.js';
import { changeOf, JournalFixture, startOf, stepOf, type OpenJournal } from '../support/faults/journal-fixture.js';

const ENDED = 60_000;
const OLD_FAILURES = 20_000;

const QUERIES: Readonly<Record<string, (database: Database) => Promise<unknown>>> = {
  'the counts': countForMetrics,
  'due runs': findDueRuns,
  'blocked runs': findBlockedRuns,
  suspects: findSuspects,
  sessions: listSessions,
};
const MODES = ['force_generic_plan', 'force_custom_plan'] as const;

describe(`the gauges beside ${ENDED} ended runs and ${OLD_FAILURES} old failures`, () => {
  let fixture: JournalFixture;
  let open: OpenJournal;
  let onPool: ExplainingDatabase;
  let behindPooler: ExplainingDatabase;
  const before = new Map<string, number>();

  const buffersOf = async (database: ExplainingDatabase, name: string, mode: (typeof MODES)[number]): Promise<number> => {
    database.planMode = mode;
    await QUERIES[name]!(database);
    return database.buffers;
  };

  beforeAll(async () => {
    fixture = await JournalFixture.create();
    open = await fixture.journal();
    const settings = { connectionString: fixture.admin.url };
    onPool = new ExplainingDatabase(settings, { poolSize: 3 });
    behindPooler = new ExplainingDatabase(settings, { poolSize: 3, pooler: 'transaction' });
    for (const table of ['runs', 'steps', 'waits', 'inbox', 'run_events'])
      await fixture.admin.query(`ALTER TABLE durable.workflow_${table} SET (autovacuum_enabled = false)`);
    const { submit } = open;
    for (let index = 0; index < 20; index++) {
      await submit(startOf(`running-${index}`, true));
      await submit(startOf(`due-${index}`, false));
      await submit(startOf(`delayed-${index}`, false, { delayMs: 3_600_000 }));
    }
    for (const name of Object.keys(QUERIES)) for (const mode of MODES) before.set(`${name} ${mode}`, await buffersOf(onPool, name, mode));
    await submit(startOf('ended', true));
    await submit(stepOf('ended', 1));
    await submit(changeOf('ended'));
    await submit(startOf('failed', true));
    await submit(
      changeOf('failed', { status: 'failed', output: null, error: '{}', failure: { code: 'X', step: null }, leftovers: 'none' }),
    );
    await fixture.admin.query(`INSERT INTO durable.workflow_runs SELECT copy.* FROM durable.workflow_runs r
      CROSS JOIN LATERAL generate_series(1, CASE WHEN r.id = 'failed' THEN ${OLD_FAILURES} ELSE ${ENDED} END) AS n
      CROSS JOIN LATERAL jsonb_populate_record(r, jsonb_build_object('id', r.id || '-' || n, 'finished_at', now() - interval '2 hours')) AS copy
      WHERE r.id IN ('ended', 'failed')`);
  });
  afterAll(async () => {
    await onPool.close();
    await behindPooler.close();
    await fixture.close();
  });

  describe.each(['never', 'just now'])('in tables that were %s analysed', (when) => {
    beforeAll(async () => {
      if (when === 'just now') await fixture.admin.query('ANALYZE');
    });

    it.each(Object.keys(QUERIES).flatMap((name) => MODES.map((mode) => [name, mode] as const)))(
      '%s read no ended runs (%s)',
      async (name, mode) => {
        for (const database of [onPool, behindPooler]) {
          const buffers = await buffersOf(database, name, mode);
          // Indexes of many rows are a level or two deeper.
          expect(buffers).toBeLessThan(2 * before.get(`${name} ${mode}`)! + 20);
          expect(database.plan).not.toMatch(/"Node Type":"Seq Scan"[^{}]*"Relation Name":"workflow_runs"/);
        }
      },
    );
  });

  it('counts what there is, and failures of the last hour only', async () => {
    await open.submit(startOf('failed now', true, { name: 'invoice' }));
    await open.submit(
      changeOf('failed now', { status: 'failed', output: null, error: '{}', failure: { code: 'X', step: null }, leftovers: 'none' }),
    );
    expect(await countForMetrics(open.database)).toEqual([
      { part: 'running', label: 'order', count: 20, ageSeconds: null },
      { part: 'sleeping', label: 'order', count: 20, ageSeconds: null },
      { part: 'failed', label: 'invoice', count: 1, ageSeconds: null },
      { part: 'failed', label: 'order', count: 1, ageSeconds: null },
      { part: 'inbox', label: '', count: 0, ageSeconds: null },
      { part: 'emitted', label: '', count: 0, ageSeconds: null },
      { part: 'outbox', label: '', count: 0, ageSeconds: null },
    ]);
  });

  it('counts the runs of the outbox that are still due', async () => {
    await fixture.admin.query(`INSERT INTO durable.workflow_outbox (run_id, seq, attempts, next_at)
      SELECT id, '1', 1, now() FROM unnest(ARRAY['due-1', 'due-2', 'running-1', 'ended', 'deleted']) AS id`);
    const counts = await countForMetrics(open.database);
    expect(counts.find(({ part }) => part === 'outbox')).toEqual({ part: 'outbox', label: '', count: 2, ageSeconds: expect.any(Number) });
  });

  it('counts messages, but not the pause requests that paused runs keep', async () => {
    await fixture.admin.query(`INSERT INTO durable.workflow_inbox (run_id, kind, payload, created_at) VALUES
      ('due-1', 'pause', 'null', now() - interval '1 day'), ('due-1', 'cancel', 'null', now()), ('due-2', 'pause', 'null', now())`);
    const counts = await countForMetrics(open.database);
    const inbox = counts.find(({ part }) => part === 'inbox')!;
    expect(inbox.count).toBe(1);
    expect(inbox.ageSeconds).toBeLessThan(3_600);
  });

  it('counts paused runs, and the events of each listener with the age of the oldest', async () => {
    await open.submit(startOf('paused', false, { name: 'invoice', delayMs: 3_600_000 }));
    await fixture.admin.query(`UPDATE durable.workflow_runs SET status = 'paused' WHERE id = 'paused'`);
    await fixture.admin.query(`INSERT INTO durable.workflow_run_events (run_id, listener, event, occurred_at, facts) VALUES
      ('ended', 'Alerts.on run.failed', 'run.failed', now() - interval '2 minutes', '{}'),
      ('ended', 'Alerts.on run.completed order', 'run.completed', now(), '{}'), ('ended', 'Ledger run.failed', 'run.failed', now(), '{}')`);
    const counts = await countForMetrics(open.database);
    expect(counts.filter(({ part }) => part === 'paused')).toEqual([{ part: 'paused', label: 'invoice', count: 1, ageSeconds: null }]);
    const events = counts.filter(({ part }) => part === 'event').toSorted((a, b) => (a.label < b.label ? -1 : 1));
    expect(events).toMatchObject([
      { label: 'Alerts.on', count: 2 },
      { label: 'Ledger', count: 1 },
    ]);
    expect(events[0]!.ageSeconds).toBeGreaterThanOrEqual(120);
    expect(events[1]!.ageSeconds).toBeLessThan(60);
  });

  it('shows the events of a listener beside very many events of another listener', async () => {
    await fixture.admin.query(`INSERT INTO durable.workflow_run_events (run_id, listener, event, facts)
      SELECT 'many', 'Aaa.on run.failed', 'run.failed', '{}' FROM generate_series(1, 10000)`);
    const events = (await countForMetrics(open.database)).filter(({ part }) => part === 'event');
    expect(events).toContainEqual({ part: 'event', label: 'Aaa.on', count: 1_000, ageSeconds: expect.any(Number) });
    expect(events).toContainEqual({ part: 'event', label: 'Ledger', count: 1, ageSeconds: expect.any(Number) });
  });
});
