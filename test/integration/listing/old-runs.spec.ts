import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';

import type { RunFilter, WorkflowClient } from '../../../src/index.js';
import type { RunConditions } from '../../../src/core/run-filter.js';
import { conditionsSql, Parameters } from '../../../src/store/sql/run-conditions.js';
import { closeApplications, startApplication } from '../../support/application.js';
import { createTestDatabase, type TestDatabase } from '../../support/database.js';

const RUNS = 60_000;
const NEWEST = Date.now();

/** Half a minute after the creation of a run. The next run was created half a minute later. */
const after = (n: number): Date => new Date(NEWEST - (RUNS - n) * 60_000 + 30_000);

/** Numbers of runs, 1 being the oldest: those that a condition selects, newest first. */
const numbers = (from: number, to: number, isMet: (n: number) => boolean = () => true): number[] =>
  Array.from({ length: to - from + 1 }, (_, index) => to - index).filter(isMet);

describe(`a listing beside ${RUNS} runs`, () => {
  let database: TestDatabase;
  let client: WorkflowClient;
  beforeAll(async () => {
    database = await createTestDatabase();
    ({ client } = await startApplication(database.url, [], { worker: false }));
    // The oldest 300 runs have version 1, and every third of them the name `rare`. The oldest four
    // have not ended: they are blocked, paused and due. The next three are cancelled, continued and
    // failed. A schedule has started every second one of the oldest 300.
    await database.query(
      `INSERT INTO durable.workflow_runs
        (id, name, queue, version, status, is_blocked, created_at, finished_at, ready_at, start_nonce, input, schedule, due_at, continued_as)
      SELECT n::text, CASE WHEN n <= 300 AND n % 3 = 0 THEN 'rare' ELSE 'order' END, 'default', CASE WHEN n <= 300 THEN 1 ELSE 2 END, status,
        n IN (1, 2), at, CASE WHEN status IN ('completed', 'cancelled', 'failed') THEN at + interval '1 second' END, CASE WHEN status = 'pending' THEN at END, n, '1',
        CASE WHEN n <= 300 AND n % 2 = 0 THEN 'nightly' END, CASE WHEN n <= 300 AND n % 2 = 0 THEN at END,
        CASE n WHEN 6 THEN '7' END
      FROM (SELECT n, to_timestamp($1::float8 / 1000) - (${RUNS} - n) * interval '1 minute' AS at, CASE n WHEN 1 THEN 'waiting' WHEN 2 THEN 'paused' WHEN 3 THEN 'paused'
        WHEN 4 THEN 'pending' WHEN 5 THEN 'cancelled' WHEN 7 THEN 'failed' ELSE 'completed' END AS status FROM generate_series(1, ${RUNS}) n) AS run`,
      [NEWEST],
    );
    await database.query('VACUUM (ANALYZE) durable.workflow_runs');
  });
  afterAll(async () => {
    await closeApplications();
    await database.drop();
  });

  const readAll = async (filter: RunFilter, limit: number): Promise<number[]> => {
    const shown: number[] = [];
    let cursor: string | undefined;
    do {
      const page = await client.list({ ...filter, limit, cursor });
      shown.push(...page.runs.map(({ runId }) => Number(runId)));
      ({ cursor } = page);
    } while (cursor !== undefined);
    return shown;
  };

  it.each<[string, RunFilter, number[]]>([
    ['a former version', { version: 1 }, numbers(1, 300)],
    ['a rare name', { name: 'rare' }, numbers(1, 300, (n) => n % 3 === 0)],
    ['a rare name and a status', { name: ['rare', 'rarer'], status: 'paused' }, [3]],
    ['several versions of a rare name', { version: [1, 2], name: 'rare' }, numbers(1, 300, (n) => n % 3 === 0)],
    ['a name that no run has', { name: 'nobody' }, []],
    ['blocked runs', { blocked: true }, [2, 1]],
    ['statuses of few runs', { status: ['pending', 'paused', 'running'] }, [4, 3, 2]],
    ['a status', { status: 'cancelled' }, [5]],
    ['all statuses but one', { status: ['pending', 'running', 'waiting', 'paused', 'failed', 'cancelled', 'continued'] }, numbers(1, 7)],
    ['a schedule', { schedule: 'nightly' }, numbers(1, 300, (n) => n % 2 === 0)],
    ['an old end', { finishedBefore: after(200) }, numbers(5, 200)],
    ['a name and an old creation', { name: 'order', createdBefore: after(50) }, numbers(1, 50, (n) => n % 3 !== 0)],
  ])('shows all old runs by %s, in pages', async (_name, filter, expected) => {
    expect(await readAll(filter, 40)).toEqual(expected);
    expect(await client.count(filter)).toBe(expected.length);
  });

  it.each<[string, RunConditions, string]>([
    ['a schedule', { schedule: 'nightly' }, 'workflow_runs_schedule_idx'],
    ['a status', { status: ['cancelled'] }, 'workflow_runs_status_idx'],
    ['the status continued', { status: ['continued'] }, 'workflow_runs_status_idx'],
  ])('reads the runs of %s in their order, and no others', async (_name, conditions, index) => {
    const parameters = new Parameters();
    const matching = conditionsSql(conditions, parameters, 'durable');
    const rows = await database.query<{ 'QUERY PLAN': string }>(
      `EXPLAIN SELECT r.id FROM durable.workflow_runs r WHERE ${matching} ORDER BY r.created_at DESC, r.id DESC LIMIT 50`,
      parameters.values,
    );
    const plan = rows.map((row) => row['QUERY PLAN']).join('\n');
    expect(plan).toContain(index);
    expect(plan).not.toMatch(/Sort|Seq Scan/);
  });

  it('shows pages of frequent runs from the newest to the oldest', async () => {
    const shown = await readAll({ name: 'order', createdAfter: after(20_000) }, 1_000);
    expect(shown).toEqual(numbers(20_001, RUNS));
  });

  it.each<[string, RunConditions, RegExp]>([
    ['a rare name', { name: ['rare'] }, /workflow_runs_filter_idx/],
    ['a rare queue', { queue: ['rare', 'slow'] }, /workflow_runs_filter_idx/],
    ['a former version', { version: [1] }, /workflow_runs_filter_idx/],
    ['paused runs', { status: ['paused'] }, /workflow_runs_paused_idx/],
    ['blocked runs', { blocked: true }, /workflow_runs_blocked_idx.*workflow_runs_paused_idx/s],
    ['waiting runs', { status: ['waiting'] }, /workflow_runs_status_idx/],
    ['cancelled runs', { status: ['cancelled'] }, /workflow_runs_status_idx/],
    ['continued runs', { status: ['continued'] }, /workflow_runs_status_idx/],
    ['failed and cancelled runs', { status: ['failed', 'cancelled'] }, /workflow_runs_failed_idx.*workflow_runs_status_idx/s],
    [
      'all runs but completed ones',
      { status: ['pending', 'running', 'waiting', 'paused', 'failed', 'cancelled', 'continued'] },
      /BitmapOr/,
    ],
    ['unfinished runs', { status: ['pending', 'running'], queue: ['default'] }, /workflow_runs_(?:ready|session)_idx/],
    ['old ends', { finishedBefore: Date.now() - 59_000 * 60_000 }, /workflow_runs_created_idx/],
  ])('finds %s through an index', async (_name, conditions, index) => {
    const parameters = new Parameters();
    const matching = conditionsSql(conditions, parameters, 'durable');
    const rows = await database.query<{ 'QUERY PLAN': string }>(
      `EXPLAIN SELECT r.id FROM durable.workflow_runs r WHERE ${matching} ORDER BY r.created_at + interval '0' LIMIT 50`,
      parameters.values,
    );
    const plan = rows.map((row) => row['QUERY PLAN']).join('\n');
    expect(plan).toMatch(index);
    expect(plan).not.toContain('Seq Scan');
  });
});
