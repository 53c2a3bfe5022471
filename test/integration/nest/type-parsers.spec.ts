import { TypeOrmModule, getDataSourceToken } from '@nestjs/typeorm';
import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import pg from 'pg';
import type { DataSource, Repository } from 'typeorm';

import { getWorkflowRepositoryToken, WorkflowModule, WorkflowRun } from '../../../src/index.js';
import { bootApplication, closeApplications } from '../../support/application.js';
import { createTestDatabase, type TestDatabase } from '../../support/database.js';
import { exercise, EXERCISE_WORKFLOWS } from '../../support/exercise.js';

class Decimal {
  constructor(readonly text: string) {}
}

type Parsers = Record<number, (text: string) => unknown>;
const raw = (text: string): string => text;

/** Types that applications parse in their own way, by oid. */
const CASES: [string, Parsers][] = [
  ['float8 and float4 as Decimal', { 700: (text) => new Decimal(text), 701: (text) => new Decimal(text) }],
  ['float8 as text', { 701: raw }],
  ['int4 and int2 as BigInt', { 21: BigInt, 23: BigInt }],
  ['int4 as text', { 23: raw }],
  ['int8 as BigInt', { 20: BigInt, 1016: raw }],
  ['numeric as Decimal', { 1700: (text) => new Decimal(text) }],
  ['booleans as text', { 16: raw }],
  ['booleans as numbers', { 16: (text) => (text === 't' ? 1 : 0) }],
  ['arrays as text', { 1000: raw, 1005: raw, 1007: raw, 1009: raw, 1015: raw, 1016: raw, 1022: raw }],
  ['json as text', { 114: raw, 3802: raw }],
  ['times as text', { 1082: raw, 1114: raw, 1184: raw }],
  ['names as symbols', { 19: (text) => Symbol(text) }],
  [
    'a parser of void that throws',
    {
      2278: () => {
        throw new Error('void');
      },
    },
  ],
];

describe('type parsers and defaults of the application', () => {
  let database: TestDatabase;
  let expected: unknown;
  const originals = new Map<number, (text: string) => unknown>();
  const defaults = { ...pg.defaults };

  const boot = (extra: Record<string, unknown> = {}) =>
    bootApplication({
      imports: [TypeOrmModule.forRoot({ type: 'postgres', url: database.url, extra }), WorkflowModule.forRoot({ worker: {} })],
      providers: EXERCISE_WORKFLOWS,
    });
  const set = (parsers: Parsers): void => {
    for (const [oid, parser] of Object.entries(parsers)) {
      if (!originals.has(Number(oid))) originals.set(Number(oid), pg.types.getTypeParser(Number(oid)) as (text: string) => unknown);
      pg.types.setTypeParser(Number(oid), parser);
    }
  };
  const reset = (): void => {
    for (const [oid, parser] of originals) pg.types.setTypeParser(oid, parser);
    originals.clear();
    // parseInt8 sets a parser of the process, which the loop above restored.
    const { parseInt8: _parseInt8, ...others } = defaults;
    Object.assign(pg.defaults, others);
  };
  beforeAll(async () => {
    database = await createTestDatabase();
    const module = await boot();
    expected = await exercise(module, module.get<DataSource>(getDataSourceToken()));
    await closeApplications();
  });
  afterEach(async () => {
    await closeApplications();
    reset();
  });
  afterAll(() => database.drop());

  it.each(CASES)('the module reads what it has written with %s', async (_, parsers) => {
    set(parsers);
    const module = await boot();
    expect(await exercise(module, module.get<DataSource>(getDataSourceToken()))).toEqual(expected);
  });

  it('the module reads what it has written with parsers that are set after the boot', async () => {
    const module = await boot();
    for (const [, parsers] of CASES) set(parsers);
    expect(await exercise(module, module.get<DataSource>(getDataSourceToken()))).toEqual(expected);
  });

  it.each<[string, Record<string, unknown>]>([
    ['binary', { binary: true }],
    ['types that give numbers and booleans as text', { types: { getTypeParser: () => raw } }],
    ['pipeline', { pipeline: true }],
  ])('the module ignores `extra` of the DataSource: %s', async (_, extra) => {
    const module = await boot(extra);
    expect(await exercise(module, module.get<DataSource>(getDataSourceToken()))).toEqual(expected);
  });

  it('the module ignores a parser in `extra` that changes every text', async () => {
    const module = await boot({ types: { getTypeParser: () => (text: unknown) => `X${String(text)}` } });
    const { startedInTransaction: _started, cancelledInTransaction: _cancelled, ...others } = expected as Record<string, unknown>;
    expect(await exercise(module, undefined)).toEqual(others);
  });

  it('the module ignores pg.defaults of the process', async () => {
    Object.assign(pg.defaults, {
      binary: true,
      parseInputDatesAsUTC: true,
      statement_timeout: 1,
      lock_timeout: 1,
      client_encoding: 'LATIN1',
    });
    const url = new URL(database.url);
    const module = await bootApplication({
      imports: [WorkflowModule.forRoot({ worker: {}, connection: { url: url.href } })],
      providers: EXERCISE_WORKFLOWS,
    });
    const { startedInTransaction: _started, cancelledInTransaction: _cancelled, ...others } = expected as Record<string, unknown>;
    expect(await exercise(module, undefined)).toEqual(others);
  });

  it('entities have the types that they declare', async () => {
    set({ 20: BigInt, 23: BigInt, 701: raw, 1009: raw, 1184: raw });
    const module = await boot();
    await exercise(module, undefined);
    const runs = module.get<Repository<WorkflowRun>>(getWorkflowRepositoryToken(WorkflowRun));
    const [run] = await runs.find({ order: { createdAt: 'DESC' }, take: 1 });
    expect(run!.createdAt).toBeInstanceOf(Date);
    expect(Math.abs(run!.createdAt.getTime() - Date.now())).toBeLessThan(600_000);
    expect([typeof run!.version, typeof run!.startNonce]).toEqual(['number', 'string']);
  });
});
