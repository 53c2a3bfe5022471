import { inspect } from 'node:util';

import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';

import { InvalidInputError, RunNotFoundError, type WorkflowClient } from '../../../src/index.js';
import { closeApplications, startApplication } from '../../support/application.js';
import { createTestDatabase, type TestDatabase } from '../../support/database.js';

const badTexts: unknown[] = [
  7,
  null,
  true,
  {},
  Symbol('x'),
  1n,
  '',
  'a\u0000b',
  'a\nb',
  'a\u0085b',
  'a\u2029b',
  'a\u202eb',
  'a\ud800',
  'x'.repeat(256),
];
const texts = ['name', 'queue', 'errorCode', 'failedStep'];
const dates = ['createdAfter', 'createdBefore', 'finishedAfter', 'finishedBefore'];
const keys = [...texts, ...dates, 'version', 'status', 'tags'];
/** Keys of a filter for which null has a meaning of its own. */
const nullable = ['errorCode', 'failedStep'];
const now = new Date();

const badFilters: [argument: string, filter: unknown][] = [
  ...[null, 'name', 7, [], () => undefined, new Date(), new Map([['name', 'x']])].map((filter) => ['filter', filter] as [string, unknown]),
  ['filter.naem', { naem: 'x' }],
  ['filter.__proto__', JSON.parse('{"__proto__": {"name": "x"}}')],
  ...keys
    .filter((key) => !nullable.includes(key))
    .map((key) => [`filter.${key}`, { status: 'failed', name: 'x', [key]: null }] as [string, unknown]),
  ...[...texts, 'version', 'status'].map((key) => [`filter.${key}`, { [key]: [] }] as [string, unknown]),
  ...[...texts, 'version', 'status'].map((key) => [`filter.${key}[0]`, { [key]: [undefined] }] as [string, unknown]),
  ...[...texts, 'version', 'status'].map((key) => [`filter.${key}[0]`, { [key]: Array(2) }] as [string, unknown]),
  ...[...texts, 'version', 'status'].map((key) => [`filter.${key}`, { [key]: Array(101).fill('x') }] as [string, unknown]),
  ...texts.flatMap((key) =>
    badTexts
      .filter((text) => text !== null || !nullable.includes(key))
      .map((text) => [`filter.${key}`, { [key]: text }] as [string, unknown]),
  ),
  ...texts.flatMap((key) => badTexts.map((text) => [`filter.${key}[1]`, { [key]: ['good', text] }] as [string, unknown])),
  ...[-1, 1.5, Number.NaN, Infinity, 2 ** 31, '1', 1n, {}, true].map((version) => ['filter.version', { version }] as [string, unknown]),
  ...['done', '', 'FAILED', 1, true, {}].map((status) => ['filter.status', { status }] as [string, unknown]),
  ['filter.status[1]', { status: ['failed', 'done'] }],
  ...[{}, [], 'a', 7, new Map([['a', 'b']])].map((tags) => ['filter.tags', { tags }] as [string, unknown]),
  ['filter.tags["a"]', { tags: { a: null } }],
  ...[1, 'true', null].map((blocked) => ['filter.blocked', { blocked }] as [string, unknown]),
  ...[1, '', ['a']].map((parentRunId) => ['filter.parentRunId', { parentRunId }] as [string, unknown]),
  ...[1, '', ['a'], null].map((schedule) => ['filter.schedule', { schedule }] as [string, unknown]),
  ...badTexts.map((value) => ['filter.tags["a"]', { tags: { a: value } }] as [string, unknown]),
  ['a key of filter.tags', { tags: { '': 'x' } }],
  ['filter.tags', { tags: Object.fromEntries(Array.from({ length: 101 }, (_, index) => [`t${index}`, 'x'])) }],
  ...dates.flatMap((key) =>
    [new Date(Number.NaN), Date.now(), '2030-01-01', new Date(8.64e15), { getTime: () => 0 }, [now]].map(
      (date) => [`filter.${key}`, { [key]: date }] as [string, unknown],
    ),
  ),
  ['filter.createdBefore', { createdAfter: now, createdBefore: now }],
  ['filter.finishedBefore', { finishedAfter: now, finishedBefore: new Date(now.getTime() - 1) }],
];

const cursorOf = (content: unknown): string => Buffer.from(JSON.stringify(content)).toString('base64url');

const badPages: [argument: string, options: unknown][] = [
  ...[0, -1, 1.5, 1_001, Number.NaN, Infinity, '5', null, 5n, [5]].map((limit) => ['filter.limit', { limit }] as [string, unknown]),
  ...[
    '',
    'nonsense',
    null,
    7,
    {},
    'x'.repeat(10_000),
    cursorOf({}),
    cursorOf([1]),
    cursorOf([2, 1, 'id', '']),
    cursorOf([1, 1.5, 'id', 'x']),
  ].map((cursor) => ['filter.cursor', { cursor }] as [string, unknown]),
  ['filter.cursor', { cursor: cursorOf([1, 1, 'a\u0000', 'x']) }],
  ['filter.cursor', { cursor: cursorOf([1, 1, "'; DROP TABLE durable.workflow_runs; --", 'x']) }],
];

const badCursors: unknown[] = ['', 'nonsense', null, 7, {}, 'x'.repeat(10_000), cursorOf({}), cursorOf([1])];
const longAgo = Date.parse('2020-01-01');
const badHistories: [argument: string, options: unknown][] = [
  ...[
    ...badCursors,
    cursorOf([longAgo, 0]),
    ...[2 ** 31, -1, 1.5, '0', null, 1e300].map((rank) => cursorOf([longAgo, rank, '0'])),
    ...['9223372036854775808', '-9223372036854775808', '9999999999999999999', '1.5', '', 1, null].map((number) =>
      cursorOf([longAgo, 0, number]),
    ),
    ...[-1, -8.64e15, 8.64e15 + 1, Number.MAX_SAFE_INTEGER, 1e300, 1.5, null, '1'].map((at) => cursorOf([at, 0, '0'])),
  ].map((cursor) => ['options.cursor', { cursor }] as [string, unknown]),
  ...[0, -1, 1.5, 1_001, Number.NaN, '5', null].map((limit) => ['options.limit', { limit }] as [string, unknown]),
];

const badFailures: [argument: string, options: unknown][] = [
  ...[undefined, null, 'x', 7, []].map((options) => ['options', options] as [string, unknown]),
  ['options.sicne', { sicne: '1h', groupBy: 'workflow' }],
  ...[undefined, null, 'soon', -1, Number.NaN, 1e15, new Date(Number.NaN), {}].map(
    (since) => ['options.since', { since, groupBy: 'workflow' }] as [string, unknown],
  ),
  ...[undefined, null, '', 'step', [], ['workflow', 'step'], Array(1), 'toString', { workflow: true }].map(
    (groupBy) => ['options.groupBy', { since: '1h', groupBy }] as [string, unknown],
  ),
  ...[0, 1_001, '5', null].map((limit) => ['options.limit', { since: '1h', groupBy: 'workflow', limit }] as [string, unknown]),
];

const named = (cases: [string, unknown][]) => cases.map(([argument, value]) => [argument, inspect(value).slice(0, 80), value] as const);

describe('calls that list runs', () => {
  let database: TestDatabase;
  let client: WorkflowClient;
  beforeAll(async () => {
    database = await createTestDatabase();
    ({ client } = await startApplication(database.url, [], { worker: false }));
  });
  afterAll(async () => {
    // The process still works after all refusals.
    await expect(client.list()).resolves.toEqual({ runs: [], cursor: undefined });
    await closeApplications();
    await database.drop();
  });

  const refusal = async (call: () => Promise<unknown>): Promise<string> => {
    const error = await call().catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(InvalidInputError);
    const { argument, message } = error as InvalidInputError;
    expect(message).toContain(argument);
    expect(message.length).toBeLessThan(700);
    return argument;
  };

  it.each(named(badFilters))('list and count refuse %s of %s', async (argument, _, filter) => {
    expect(await refusal(() => client.list(filter as never))).toBe(argument);
    expect(await refusal(() => client.count(filter as never))).toBe(argument);
  });

  it.each(named(badPages))('list and count refuse the page option %s of %s', async (argument, _, options) => {
    expect(await refusal(() => client.list(options as never))).toBe(argument);
    expect(await refusal(() => client.count(options as never))).toBe(argument);
  });

  it.each(named(badHistories))('history refuses %s of %s', async (argument, _, options) => {
    expect(await refusal(() => client.history('nobody', options as never))).toBe(argument);
  });

  it('history accepts cursors at the limits of their ranges', async () => {
    for (const content of [
      [8.64e15, 2 ** 31 - 1, '9223372036854775807', 'nobody'],
      [0, 0, '-9223372036854775807', 'nobody'],
    ]) {
      await expect(client.history('nobody', { cursor: cursorOf(content) })).rejects.toBeInstanceOf(RunNotFoundError);
    }
  });

  it.each(named(badFailures))('failures refuses %s of %s', async (argument, _, options) => {
    expect(await refusal(() => client.failures(options as never))).toBe(argument);
  });

  it.each([...keys, 'blocked', 'parentRunId', 'schedule'])(
    'list and count ignore an undefined %s, and bulk.cancel refuses it',
    async (key) => {
      await expect(client.list({ [key]: undefined })).resolves.toEqual({ runs: [], cursor: undefined });
      await expect(client.count({ [key]: undefined })).resolves.toBe(0);
      const dryRun = { filter: { version: 1, [key]: undefined }, dryRun: true } as const;
      expect(await refusal(() => client.bulk.cancel(dryRun))).toBe(`options.filter.${key}`);
    },
  );

  it('list and count ignore an undefined tag, and bulk.cancel refuses it', async () => {
    const tags = { a: undefined } as unknown as Record<string, string>;
    await expect(client.list({ tags })).resolves.toEqual({ runs: [], cursor: undefined });
    await expect(client.count({ tags: { ...tags, b: 'x' } })).resolves.toBe(0);
    expect(await refusal(() => client.bulk.cancel({ filter: { tags }, dryRun: true }))).toBe('options.filter.tags["a"]');
  });

  it('list returns the first page when cursor and limit are undefined', async () => {
    await expect(client.list({ cursor: undefined, limit: undefined })).resolves.toEqual({ runs: [], cursor: undefined });
  });
});
