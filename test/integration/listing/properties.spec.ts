import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import pg from 'pg';

import type { ListOptions, RunFilter, ShownStatus, WorkflowClient } from '../../../src/index.js';
import { closeApplications, startApplication } from '../../support/application.js';
import { createTestDatabase, type TestDatabase } from '../../support/database.js';

const STATUSES: ShownStatus[] = ['pending', 'running', 'waiting', 'paused', 'completed', 'failed', 'cancelled', 'continued'];
const TERMINAL: ShownStatus[] = ['completed', 'failed', 'cancelled', 'continued'];
const START = Date.UTC(2026, 0, 1);

/**
 * A run of the test; times in milliseconds after START, so close to each other that many are equal.
 */
interface Row {
  name: string;
  queue: string;
  version: number;
  status: ShownStatus;
  isBlocked: boolean;
  losses: number;
  parent: string | null;
  schedule: string | null;
  created: number;
  finished: number;
  code: string;
  step: string;
  tags: Record<string, string>;
}

const few = (prefix: string) => fc.constantFrom('a', 'b', 'c').map((letter) => `${prefix}-${letter}`);
const oneOrMore = <T>(one: fc.Arbitrary<T>) => fc.oneof(one, fc.array(one, { minLength: 1, maxLength: 3 }));
const tags = fc.dictionary(fc.constantFrom('x', 'y', '__proto__'), fc.constantFrom('1', '2'));
const moment = fc.integer({ min: 0, max: 6 });

const anyRow: fc.Arbitrary<Row> = fc.record({
  name: few('name'),
  queue: few('queue'),
  version: fc.integer({ min: 0, max: 2 }),
  status: fc.constantFrom(...STATUSES),
  isBlocked: fc.boolean(),
  losses: fc.integer({ min: 0, max: 3 }),
  parent: fc.option(few('parent')),
  schedule: fc.option(few('schedule')),
  created: moment,
  finished: moment,
  code: few('code'),
  step: few('step'),
  tags,
});

const range = (after: string, before: string): fc.Arbitrary<RunFilter> =>
  fc.tuple(moment, moment, fc.nat(5)).map(([one, other, which]) => {
    const [low, high] = [new Date(START + Math.min(one, other)), new Date(START + Math.max(one, other) + 1)];
    return [{ [after]: low }, { [before]: high }, { [after]: low, [before]: high }][which] ?? {};
  });

const fields = fc.record({
  name: oneOrMore(few('name')),
  queue: oneOrMore(few('queue')),
  version: oneOrMore(fc.integer({ min: 0, max: 2 })),
  status: oneOrMore(fc.constantFrom(...STATUSES)),
  blocked: fc.boolean(),
  parentRunId: fc.option(few('parent')),
  schedule: few('schedule'),
  errorCode: oneOrMore(few('code')),
  failedStep: oneOrMore(few('step')),
  tags: tags.filter((each) => Object.keys(each).length > 0),
});

const FIELDS = ['name', 'queue', 'version', 'status', 'blocked', 'parentRunId', 'schedule', 'errorCode', 'failedStep', 'tags'] as const;

/** A filter on at most three fields, so that it matches some runs. */
const anyFilter: fc.Arbitrary<RunFilter> = fc
  .tuple(
    fields,
    fc.uniqueArray(fc.constantFrom(...FIELDS), { maxLength: 3 }),
    range('createdAfter', 'createdBefore'),
    range('finishedAfter', 'finishedBefore'),
  )
  .map(([all, keys, created, finished]) => ({
    ...Object.fromEntries(Object.entries(all).filter(([key]) => (keys as string[]).includes(key))),
    ...created,
    ...finished,
  }));

/** Evaluates a filter in JavaScript, independently of the SQL. */
function meets(row: Row, filter: RunFilter): boolean {
  const among = <T>(wanted: T | readonly T[] | undefined, value: T): boolean =>
    wanted === undefined || (Array.isArray(wanted) ? wanted.includes(value) : wanted === value);
  const within = (ms: number, after: Date | undefined, before: Date | undefined): boolean =>
    (after === undefined || ms >= after.getTime() - START) && (before === undefined || ms < before.getTime() - START);
  const ended = TERMINAL.includes(row.status);
  const failed = row.status === 'failed';
  const blocked = row.isBlocked && ['waiting', 'paused'].includes(row.status);
  return (
    among(filter.name, row.name) &&
    among(filter.queue, row.queue) &&
    among(filter.version, row.version) &&
    among(filter.status, row.status) &&
    among(filter.blocked, blocked) &&
    among(filter.parentRunId, row.parent) &&
    among(filter.schedule, row.schedule) &&
    (filter.errorCode === undefined || (failed && among(filter.errorCode, row.code))) &&
    (filter.failedStep === undefined || (failed && among(filter.failedStep, row.step))) &&
    Object.entries(filter.tags ?? {}).every(([key, value]) => Object.hasOwn(row.tags, key) && row.tags[key] === value) &&
    within(row.created, filter.createdAfter, filter.createdBefore) &&
    ((filter.finishedAfter === undefined && filter.finishedBefore === undefined) ||
      (ended && within(row.finished, filter.finishedAfter, filter.finishedBefore)))
  );
}

const INSERT = `INSERT INTO durable.workflow_runs
  (id, name, queue, version, status, created_at, finished_at, ready_at, error_code, failed_step, is_blocked, worker_losses, parent_run_id,
   schedule, due_at, session_id, continued_as, start_nonce, input)
SELECT $1, $2, $3, $4, CASE $5 WHEN 'continued' THEN 'completed' ELSE $5 END, to_timestamp($6),
  CASE WHEN $5 IN ('completed', 'failed', 'cancelled', 'continued') THEN to_timestamp($7) END, CASE WHEN $5 = 'pending' THEN now() END,
  CASE WHEN $5 = 'failed' THEN $8 END, CASE WHEN $5 = 'failed' THEN $9 END, $10, $11, $12, $13, CASE WHEN $13::text IS NOT NULL THEN now() END,
  CASE WHEN $5 = 'running' THEN 1 END, CASE WHEN $5 = 'continued' THEN 'next' END, 1, '1'`;

describe('listings', () => {
  let database: TestDatabase;
  let client: WorkflowClient;
  beforeAll(async () => {
    database = await createTestDatabase();
    ({ client } = await startApplication(database.url, [], { worker: false }));
  });
  afterEach(() => database.query('TRUNCATE durable.workflow_runs, durable.workflow_tags'));
  afterAll(async () => {
    await closeApplications();
    await database.drop();
  });

  const insert = async (id: string, row: Row): Promise<void> => {
    const { name, queue, version, status, created, finished, code, step, isBlocked, losses, parent, schedule } = row;
    const seconds = (ms: number): number => (START + ms) / 1_000;
    const times = [seconds(created), seconds(finished)];
    await database.query(INSERT, [id, name, queue, version, status, ...times, code, step, isBlocked, losses, parent, schedule]);
    for (const [key, value] of Object.entries(row.tags))
      await database.query('INSERT INTO durable.workflow_tags VALUES ($1, $2, $3)', [id, key, value]);
  };

  /** Reads a listing to its end, and calls `between` after each page. */
  const readAll = async (
    filter: RunFilter,
    limit: number,
    between: () => Promise<unknown> = () => Promise.resolve(),
  ): Promise<string[]> => {
    const shown: string[] = [];
    let cursor: string | undefined;
    do {
      const page = await client.list({ ...filter, limit, cursor } satisfies ListOptions);
      expect(page.runs.length).toBeLessThanOrEqual(limit);
      shown.push(...page.runs.map(({ runId }) => runId));
      ({ cursor } = page);
      await between();
    } while (cursor !== undefined);
    return shown;
  };

  it('show every run that meets the filter, newest first, for every page size, and count agrees', async () => {
    const rows = fc.sample(anyRow, { numRuns: 150, seed: 7 });
    for (const [index, row] of rows.entries()) await insert(`run-${index}`, row);
    let found = 0;
    await fc.assert(
      fc.asyncProperty(anyFilter, fc.integer({ min: 1, max: 9 }), async (filter, limit) => {
        const expected = rows
          .map((row, index) => ({ row, id: `run-${index}` }))
          .filter(({ row }) => meets(row, filter))
          .sort((a, b) => b.row.created - a.row.created || (a.id < b.id ? 1 : -1))
          .map(({ id }) => id);
        found += expected.length;
        expect(await readAll(filter, limit)).toEqual(expected);
        expect(await client.count(filter)).toBe(expected.length);
      }),
      { numRuns: 300 },
    );
    expect(found).toBeGreaterThan(500);
  });

  // A page is one statement and one snapshot, so runs change only between two pages.
  it('show every unchanged run once, and no run twice, while other runs start, end and are deleted', async () => {
    const writers = Array.from({ length: 3 }, () => new pg.Client({ connectionString: database.url }));
    for (const writer of writers) await writer.connect();
    const action = fc.record({
      what: fc.constantFrom('start', 'begin', 'commit', 'roll back', 'end', 'delete'),
      writer: fc.nat(2),
      victim: fc.nat(39),
    });
    try {
      await fc.assert(
        fc.asyncProperty(
          fc.array(fc.array(action, { maxLength: 6 }), { minLength: 6, maxLength: 12 }),
          fc.integer({ min: 1, max: 7 }),
          async (script, limit) => {
            await database.query('TRUNCATE durable.workflow_runs');
            // Each created_at belongs to five runs.
            await database.query(`INSERT INTO durable.workflow_runs (id, name, queue, version, status, created_at, ready_at, start_nonce, input)
            SELECT 'old-' || n, 'x', 'x', 1, 'pending', now() - (n / 5) * interval '1 microsecond', now(), 1, '1' FROM generate_series(0, 39) n`);
            let started = 0;
            const open = new Set<number>();
            // Runs that the listing may show or leave out.
            const touched = new Set<string>();
            const start = (writer: number): Promise<unknown> =>
              writers[writer]!.query(
                `INSERT INTO durable.workflow_runs (id, name, queue, version, status, created_at, ready_at, start_nonce, input)
               VALUES ($1, 'x', 'x', 1, 'pending', now(), now(), 1, '1')`,
                [`new-${started++}`],
              );
            const acts = async ({ what, writer, victim }: { what: string; writer: number; victim: number }): Promise<void> => {
              const id = `old-${victim}`;
              if (what === 'start') await start(writer);
              // The now() of this transaction precedes the now() of starts that commit earlier.
              if (what === 'begin' && !open.has(writer)) {
                open.add(writer);
                await writers[writer]!.query('BEGIN');
                await start(writer);
              }
              if ((what === 'commit' || what === 'roll back') && open.delete(writer)) {
                await writers[writer]!.query(what === 'commit' ? 'COMMIT' : 'ROLLBACK');
              }
              if (what === 'end') {
                touched.add(id);
                await database.query(`UPDATE durable.workflow_runs SET status = 'completed', finished_at = now() WHERE id = $1`, [id]);
              }
              if (what === 'delete') {
                touched.add(id);
                await database.query('DELETE FROM durable.workflow_runs WHERE id = $1', [id]);
              }
            };
            const steps = script.values();
            // Transactions that are open when the listing begins may commit before its end.
            for (const each of steps.next().value ?? []) await acts(each);
            const before = await database.query<{ id: string }>('SELECT id FROM durable.workflow_runs');
            touched.clear();
            const shown = await readAll({ status: ['pending'], name: 'x' }, limit, async () => {
              for (const each of steps.next().value ?? []) await acts(each);
            });
            for (const writer of open) await writers[writer]!.query('ROLLBACK');
            expect(new Set(shown).size).toBe(shown.length);
            const there = await database.query<{ id: string }>(`SELECT id FROM durable.workflow_runs WHERE status = 'pending'`);
            const known = new Set(before.map(({ id }) => id));
            const allAlong = there.map(({ id }) => id).filter((id) => known.has(id) && !touched.has(id));
            expect(shown).toEqual(expect.arrayContaining(allAlong));
          },
        ),
        { numRuns: 40 },
      );
    } finally {
      for (const writer of writers) await writer.end();
    }
  });
});
