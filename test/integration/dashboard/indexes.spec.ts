import { afterAll, beforeAll, expect, it } from '@jest/globals';

import type { Database } from '../../../src/store/database.js';
import { sinceFailures } from '../../../src/store/sql/recent-runs.js';
import { closeApplications } from '../../support/application.js';
import { serveDashboard, type DashboardApplication } from '../../support/dashboard-application.js';
import { createTestDatabase, type TestDatabase } from '../../support/database.js';
import { explainAll, ExplainedStatements } from '../../support/explained-statements.js';
import { fillDatabase } from '../../support/large-database.js';

/** Number of runs; DURABLE_LARGE_RUNS=1000000 for the long form. */
const RUNS = Number(process.env['DURABLE_LARGE_RUNS'] ?? 60_000);

/**
 * Largest number of rows that the statements of a request may read. A search sorts at most 50,000
 * runs, and a BRIN index finds more rows than that.
 */
const MOST_ROWS = RUNS > 60_000 ? 150_000 : 55_000;
/** Largest number for the page after a search that has found nothing. */
const MOST_ROWS_OF_SEARCH = 210_000;

/** Tables whose size grows with the number of runs or events. */
const LARGE = ['workflow_runs', 'workflow_steps', 'workflow_tags', 'workflow_events', 'workflow_run_log', 'workflow_waits'];

const STATUSES = ['pending', 'running', 'waiting', 'paused', 'completed', 'failed', 'cancelled', 'continued'] as const;

/** Requests of the page, with each filter that it offers. */
const ADDRESSES: readonly string[] = [
  'overview',
  'counts',
  'workflows',
  'failures',
  'failures?since=30d&by=hour&by=workflow',
  'workers',
  'health',
  'queues',
  'schedules',
  'world',
  'events',
  'events?event=paid',
  'events?event=rare',
  'events?event=paid&key=7',
  'events?event=paid&id=7',
  'events?event=none',
  'events?id=7',
  'events?id=none',
  'runs/100',
  'runs/100/steps',
  'runs/100/history',
  'runs/100/streams',
  ...[
    '',
    'name=rare',
    'name=none',
    'version=1',
    'version=7',
    'queue=rare',
    ...STATUSES.flatMap((status) => [`status=${status}`, `name=order&status=${status}`, `status=${status}&version=2&queue=default`]),
    'status=cancelled&status=paused',
    'tag=customer%3D7',
    'tag=customer%3D7&status=cancelled',
    'errorCode=RARE',
    'errorCode=',
    'failedStep=charge&status=failed',
    'failedStep=',
    'parentRunId=7',
    'schedule=report',
    'schedule=report&status=cancelled',
    'blocked=true',
    'blocked=false&status=cancelled',
    'createdBefore=30d',
    'createdBefore=30d&status=cancelled',
    'createdAfter=1h',
    'status=failed&finishedAfter=24h',
    'status=cancelled&finishedAfter=24h',
  ].flatMap((query) => [`runs?${query}`, `counts?${query}`]),
];

let database: TestDatabase;
let served: DashboardApplication;
let statements: ExplainedStatements;
beforeAll(async () => {
  database = await createTestDatabase();
  // Creates the tables.
  await (await serveDashboard(database.url, { guards: [] }, [], { options: { worker: false } })).app.close();
  await fillDatabase(database, RUNS);
  const name = decodeURIComponent(new URL(database.url).pathname.slice(1));
  for (const setting of explainAll(name)) await database.query(setting);
  statements = new ExplainedStatements();
  served = await serveDashboard(database.url, { guards: [] }, [], { options: { worker: false } });
});
afterAll(async () => {
  await closeApplications();
  await database.drop();
});

interface Page {
  readonly cursor?: string;
  readonly searchedTo?: string;
  readonly runs: readonly unknown[];
}

const read = async (address: string): Promise<{ body: unknown; rows: number; scanned: string[] }> => {
  statements.take();
  const response = await fetch(`${served.url}/workflow/dashboard/api/${address}`);
  expect([address, response.status]).toEqual([address, 200]);
  const body = await response.json();
  const executed = statements.take();
  return {
    body,
    rows: executed.reduce((sum, { rows }) => sum + rows, 0),
    scanned: executed.flatMap(({ scanned }) => scanned).filter((table) => LARGE.includes(table)),
  };
};

it(`reads few rows, and those by an index, for each request of the page beside ${RUNS} runs`, async () => {
  const found: string[] = [];
  let observed = 0;
  for (const address of ADDRESSES) {
    const { rows, scanned } = await read(address);
    observed += rows;
    if (rows > MOST_ROWS || scanned.length > 0) found.push(`${address}: ${rows} rows; without an index: ${scanned.join(', ') || 'none'}`);
  }
  expect(found).toEqual([]);
  expect(observed).toBeGreaterThan(RUNS / 10);
});

it('lists runs by each status that few runs have, and events by their id, through an index', async () => {
  const { client } = served;
  const rowsOf = async (list: () => Promise<unknown>): Promise<number> => {
    statements.take();
    await list();
    const executed = statements.take();
    expect(executed.flatMap(({ scanned }) => scanned).filter((table) => LARGE.includes(table))).toEqual([]);
    return executed.reduce((sum, { rows }) => sum + rows, 0);
  };
  for (const status of STATUSES) expect([status, await rowsOf(() => client.list({ status }))]).toEqual([status, expect.any(Number)]);
  expect(await rowsOf(() => client.list({ status: 'cancelled' }))).toBe(0);
  expect(await rowsOf(() => client.list({ status: ['cancelled', 'paused', 'running'] }))).toBe(0);
  expect(await rowsOf(() => client.count({ status: ['cancelled'] }))).toBe(0);
  // Two names of events are in use.
  for (const [id, found] of [
    ['7', 1],
    ['none', 0],
  ] as const) {
    // The plan that is used for all parameters after some executions reads as little.
    for (let time = 0; time < 8; time++) expect(await rowsOf(() => client.events.list({ id }))).toBeLessThan(10);
    expect((await client.events.list({ id })).events).toHaveLength(found);
  }
});

it('searches for runs that no index selects in parts, up to the oldest run', async () => {
  const address = 'runs?status=completed&finishedAfter=2100-01-01T00:00:00Z';
  const parts: string[] = [];
  for (let cursor: string | undefined = ''; cursor !== undefined;) {
    const { body, rows, scanned } = await read(cursor === '' ? address : `${address}&cursor=${cursor}`);
    const page = body as Page;
    expect(page.runs).toEqual([]);
    expect(scanned).toEqual([]);
    expect(rows).toBeLessThan(MOST_ROWS_OF_SEARCH);
    if (page.searchedTo !== undefined) parts.push(page.searchedTo);
    expect(page.searchedTo === undefined).toBe(page.cursor === undefined);
    cursor = page.cursor;
  }
  expect(parts.length).toBeGreaterThanOrEqual(1);
  expect([...parts].sort().reverse()).toEqual(parts);
});

it('finds rare runs that are old', async () => {
  for (const [query, count] of [
    ['errorCode=RARE', 1],
    ['version=1&limit=400', 300],
    ['name=rare&limit=400', RUNS / 20_000],
  ] as const) {
    const { body } = await read(`runs?${query}`);
    expect([query, (body as Page).runs.length, (body as Page).searchedTo]).toEqual([query, count, undefined]);
  }
});

it('groups the failures of a shorter period when there are too many', async () => {
  const { database: store } = served.app.get<{ database: Database }>('nestjs-durable:runtime', { strict: false });
  const failedSince = async (ms: number): Promise<number> => {
    const [row] = await database.query<{ count: number }>(
      `SELECT count(*)::int AS count FROM durable.workflow_runs WHERE status = 'failed' AND finished_at >= to_timestamp($1::float8 / 1000)`,
      [ms],
    );
    return row!.count;
  };
  const since = Date.now() - 30 * 86_400_000;
  const all = await failedSince(since);
  expect(await sinceFailures(store, since, all)).toBe(since);
  expect(await failedSince(await sinceFailures(store, since, 100))).toBe(100);
});
