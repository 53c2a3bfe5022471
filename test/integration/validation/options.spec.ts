import { Test } from '@nestjs/testing';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';

import { InvalidInputError, WorkflowModule } from '../../../src/index.js';
import { createTestDatabase, type TestDatabase } from '../../support/database.js';

const badTexts: [string, unknown][] = [
  ['a number', 7],
  ['null', null],
  ['an object', {}],
  ['a symbol', Symbol('x')],
  ['an empty text', ''],
  ['NUL', 'a\u0000b'],
  ['a lone surrogate', 'a\ud800'],
  ['10,000 characters', 'x'.repeat(10_000)],
];

const badTimes: [string, unknown][] = [
  ['a negative number', -1],
  ['NaN', Number.NaN],
  ['more than a timer can count', '30 days'],
  ['nonsense', 'soon'],
  ['null', null],
  ['a bigint', 10n],
  ['an object', {}],
  ['a Date', new Date()],
];

type Case = [argument: string, what: string, options: unknown];
const cases = (argument: string, values: [string, unknown][], wrap: (value: unknown) => unknown): Case[] =>
  values.map(([what, value]) => [argument, what, wrap(value)]);
const shown = (values: unknown[]): [string, unknown][] =>
  values.map((value) => [typeof value === 'string' ? JSON.stringify(value) : String(value), value]);

const refused: Case[] = [
  ['shcema', 'a misspelt option', { shcema: 'durable' }],
  ['__proto__', 'an own __proto__', JSON.parse('{"__proto__": 1}')],
  ...cases('schema', badTexts, (schema) => ({ schema })),
  ['schema', '64 bytes', { schema: 'é'.repeat(32) }],
  ...cases('autoMigrate', shown(['yes', 1, null]), (autoMigrate) => ({ autoMigrate })),
  ...cases(
    'deploymentId',
    badTexts.filter(([what]) => what !== 'null'),
    (deploymentId) => ({ deploymentId }),
  ),
  ...cases('worker', shown([true, 'on', 5, null, []]), (worker) => ({ worker })),
  ['worker.concurency', 'a misspelt option', { worker: { concurency: 5 } }],
  ...cases('worker.concurrency', shown([0, -1, 1.5, Number.NaN, Infinity, '5', null, 10_001]), (concurrency) => ({
    worker: { concurrency },
  })),
  ...cases('worker.queues', shown(['default', [], null, 5]), (queues) => ({ worker: { queues } })),
  ...cases('worker.queues[1]', badTexts, (queue) => ({ worker: { queues: ['default', queue] } })),
  ...(['pollInterval', 'maxPollInterval', 'sessionTtl', 'suspendAfter', 'shutdownTimeout'] as const).flatMap((option) =>
    cases(`worker.${option}`, badTimes, (value) => ({ worker: { [option]: value } })),
  ),
  ['worker.sessionTtl', 'less than 2 s', { worker: { sessionTtl: 1_999 } }],
  ['worker.pollInterval', '0', { worker: { pollInterval: 0 } }],
  ...cases('worker.eagerStart', shown(['no', 0, null]), (eagerStart) => ({ worker: { eagerStart } })),
  ...cases('currentTransaction', shown([null, 5, {}, 'manager']), (currentTransaction) => ({ currentTransaction })),
  ...cases('runInTransaction', shown([null, 5, {}, 'manager']), (runInTransaction) => ({
    runInTransaction,
    currentTransaction: () => undefined,
  })),
  ['runInTransaction', 'without currentTransaction', { runInTransaction: () => Promise.resolve() }],
  ...cases('readReplica', shown([null, true, 'yes', {}, { url: 5 }, { url: 'http://replica/app' }]), (readReplica) => ({ readReplica })),
  ...cases('listen', shown([null, 5, 'yes', {}, { url: 5 }, { url: '' }]), (listen) => ({ listen })),
  ...cases('defaults', shown([null, 5, []]), (defaults) => ({ defaults })),
  ['defaults.stepTimeuot', 'a misspelt option', { defaults: { stepTimeuot: 5 } }],
  ...cases('retention', shown([null, 5, '30d', []]), (retention) => ({ retention })),
  ['retention.running', 'a status of active runs', { retention: { running: '30d' } }],
  ...cases('streams', shown([null, 5, []]), (streams) => ({ streams })),
  ...cases('streams.retention', shown([null, 5, '30d', []]), (retention) => ({ streams: { retention } })),
  ['streams.retention.failed', 'too short', { streams: { retention: { failed: '59s' } } }],
  ['streams.limit', 'unknown', { streams: { limit: 5 } }],
  ...cases('retention.completed', shown([-1, 0, '59s', 'soon', null, Number.NaN, '101y']), (completed) => ({ retention: { completed } })),
  ...cases('defaults.runTimeout', shown([-1, 'soon', null, Number.NaN]), (runTimeout) => ({ defaults: { runTimeout } })),
  ...cases('defaults.stepTimeout', shown([-1, 'soon', null, Number.NaN]), (stepTimeout) => ({ defaults: { stepTimeout } })),
  ...cases('defaults.maxPayloadBytes', shown([0, 1_023, 1.5, '4 MiB', null, Number.NaN, 2 ** 40]), (maxPayloadBytes) => ({
    defaults: { maxPayloadBytes },
  })),
  ...cases('defaults.retry', shown([null, 5, 'often']), (retry) => ({ defaults: { retry } })),
  ['defaults.retry.maxAttempts', '0', { defaults: { retry: { maxAttempts: 0 } } }],
  ['defaults.retry.initialInterval', 'nonsense', { defaults: { retry: { initialInterval: 'soon' } } }],
  ...cases('connection', shown([null, 5, 'postgres://localhost/x', {}, []]), (connection) => ({ connection })),
  ...cases('connection.url', shown([null, 5, '', 'a\u0000b', 'not a url', 'mysql://localhost/x']), (url) => ({ connection: { url } })),
  ...cases('connection.poolSize', shown([0, 2, 1.5, '5', 10_000, null]), (poolSize) => ({
    connection: { url: 'postgresql://localhost/x', poolSize },
  })),
  ['connection.pool', 'a misspelt option', { connection: { url: 'postgresql://localhost/x', pool: 5 } }],
  ...cases('connection.embedded', shown([null, false, 'yes', {}, { dataDir: 5 }, { dataDir: '' }]), (embedded) => ({
    connection: { embedded },
  })),
];

describe('WorkflowModule at boot', () => {
  let database: TestDatabase;
  beforeAll(async () => {
    database = await createTestDatabase();
  });
  afterAll(() => database.drop());

  /** Boots with a real database, so that an accepted option causes no other error. */
  const boot = async (options: object): Promise<unknown> => {
    const connection = { url: database.url };
    const dynamic = WorkflowModule.forRootAsync({ useFactory: () => ({ connection, ...options }) });
    try {
      const module = await Test.createTestingModule({ imports: [dynamic] }).compile();
      await module.close();
      return undefined;
    } catch (error) {
      return error;
    }
  };

  it.each(refused)('refuses invalid %s: %s', async (argument, _, options) => {
    const given = Object.getOwnPropertyNames(options).includes('__proto__')
      ? JSON.parse(`{"__proto__": 1, "connection": {"url": ${JSON.stringify(database.url)}}}`)
      : options;
    const error = await boot(given as object);
    expect(error).toBeInstanceOf(InvalidInputError);
    expect((error as InvalidInputError).argument).toContain(argument);
    expect((error as Error).message.length).toBeLessThan(700);
  });

  it.each(shown([null, 5, 'options', []]))('refuses options that are %s', async (_, options) => {
    const boots = [
      () => Test.createTestingModule({ imports: [WorkflowModule.forRoot(options as never)] }).compile(),
      () => Test.createTestingModule({ imports: [WorkflowModule.forRootAsync({ useFactory: () => options as never })] }).compile(),
    ];
    for (const start of boots) {
      const error = await (async () => start())().catch((thrown: unknown) => thrown);
      expect(error).toBeInstanceOf(InvalidInputError);
      expect((error as InvalidInputError).argument).toBe('options');
    }
  });

  it('refuses a DURABLE_WORKER that is neither "on" nor "off"', async () => {
    process.env['DURABLE_WORKER'] = 'false';
    try {
      expect(await boot({})).toMatchObject({ code: 'INVALID_INPUT', argument: 'DURABLE_WORKER' });
    } finally {
      delete process.env['DURABLE_WORKER'];
    }
  });

  it('creates no schema when it refuses options', async () => {
    const schemas = await database.query(
      `SELECT nspname FROM pg_namespace WHERE nspname NOT LIKE 'pg\\_%' AND nspname NOT IN ('public', 'information_schema')`,
    );
    expect(schemas).toEqual([]);
  });
});
