import { Test } from '@nestjs/testing';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';

import {
  InvalidInputError,
  migrationSql,
  startEmbeddedPostgres,
  Step,
  Workflow,
  WorkflowError,
  WorkflowModule,
  type WorkflowClient,
  type WorkflowContext,
} from '../../../src/index.js';
import { closeApplications, startApplication } from '../../support/application.js';
import { createTestDatabase, type TestDatabase } from '../../support/database.js';

let code: (ctx: WorkflowContext) => unknown = () => 'fine';

@Workflow({ name: 'scripted', retry: { maxAttempts: 1 } })
class ScriptedWorkflow {
  async run(_input: unknown, ctx: WorkflowContext): Promise<unknown> {
    return code(ctx);
  }
}

const fail = (): never => {
  throw new Error('hostile');
};
const revoked = (target: object): object => {
  const { proxy, revoke } = Proxy.revocable(target, {});
  revoke();
  return proxy;
};

/** Values that are not options objects, or cannot be read as one. */
const hostile: [what: string, options: unknown][] = [
  ['null', null],
  ['a number', 7],
  ['true', true],
  ['a text', 'options'],
  ['a symbol', Symbol('options')],
  ['an array', []],
  ['an array without a prototype', Object.setPrototypeOf([], null)],
  ['a Map', new Map()],
  ['an instance', new (class Options {})()],
  ['an object that inherits options', Object.create({ id: 'x' })],
  ['a revoked proxy', revoked({})],
  ['a revoked proxy of an array', revoked([])],
  ['a proxy without a prototype to be seen', new Proxy({}, { getPrototypeOf: fail })],
  ['a proxy without keys to be seen', new Proxy({}, { ownKeys: fail })],
  ['a misspelt option', { 'it\'s "misspelt" -- ;': 1 }],
  ['a misspelt option of 100,000 characters', { ['x'.repeat(100_000)]: 1 }],
  ['an own __proto__', JSON.parse('{"__proto__": {"id": "x"}}')],
  ['an own constructor', { constructor: 1 }],
];

/** Options whose getter of `key` throws, and a proxy that throws for every key. */
const unreadable = (key: string): [what: string, options: unknown][] => [
  [`a getter of ${key} that throws`, Object.defineProperty({}, key, { get: fail, enumerable: true })],
  [`a proxy that throws for ${key}`, new Proxy({ [key]: 1 }, { get: fail })],
];

type Call = (options: never) => unknown;

describe('hostile values', () => {
  let database: TestDatabase;
  let client: WorkflowClient;
  beforeAll(async () => {
    database = await createTestDatabase();
    ({ client } = await startApplication(database.url, [ScriptedWorkflow]));
  });
  afterAll(async () => {
    await closeApplications();
    await database.drop();
  });

  const rows = async (): Promise<unknown> =>
    database.query(`SELECT (SELECT count(*) FROM durable.workflow_runs) AS runs, (SELECT count(*) FROM durable.workflow_inbox) AS messages,
      (SELECT count(*) FROM durable.workflow_steps) AS steps, (SELECT count(*) FROM durable.workflow_tags) AS tags`);

  const refusal = async (call: () => unknown): Promise<unknown> => {
    try {
      return await call();
    } catch (error) {
      return error;
    }
  };

  const boot = (options: object): Promise<unknown> =>
    Test.createTestingModule({ imports: [WorkflowModule.forRootAsync({ useFactory: () => options })] }).compile();

  const calls: [call: string, argument: string, key: string, call: Call][] = [
    ['client.start', 'options', 'id', (options) => client.start(ScriptedWorkflow, 1, options)],
    ['client.start of a transaction', 'options', 'manager', (options) => client.start(ScriptedWorkflow, 1, options)],
    ['client.startMany', 'options', 'tags', (options) => client.startMany(ScriptedWorkflow, [1, 2], options)],
    ['client.startMany of nothing', 'options', 'queue', (options) => client.startMany(ScriptedWorkflow, [], options)],
    ['client.startMany with a function', 'options', 'id', (options) => client.startMany(ScriptedWorkflow, [1, 2], () => options)],
    ['client.execute', 'options', 'manager', (options) => client.execute(ScriptedWorkflow, 1, options)],
    ['client.cancel', 'options', 'reason', (options) => client.cancel('nobody', options)],
    ['client.cancel in a transaction', 'options', 'manager', (options) => client.cancel('nobody', options)],
    ['client.list', 'filter', 'name', (filter) => client.list(filter)],
    ['client.list with tags', 'filter.tags', 'customer', (tags) => client.list({ tags })],
    ['client.count', 'filter', 'status', (filter) => client.count(filter)],
    ['client.failures', 'options', 'since', (options) => client.failures(options)],
    ['handle.cancel', 'options', 'actor', (options) => client.getHandle('nobody').cancel(options)],
    ['handle.result', 'options', 'timeout', (options) => client.getHandle('nobody').result(options)],
    ['forRoot', '', 'schema', (options) => Test.createTestingModule({ imports: [WorkflowModule.forRoot(options)] }).compile()],
    ['forRootAsync', '', 'useFactory', (options) => WorkflowModule.forRootAsync(options)],
    ['what a factory gives', '', 'schema', (options) => boot(options)],
    ['worker', 'worker', 'queues', (worker) => boot({ worker })],
    ['defaults', 'defaults', 'retry', (defaults) => boot({ defaults })],
    ['defaults.retry', 'defaults.retry', 'jitter', (retry) => boot({ defaults: { retry } })],
    ['connection', 'connection', 'url', (connection) => boot({ connection })],
    ['connection.embedded', 'connection.embedded', 'dataDir', (embedded) => boot({ connection: { embedded } })],
    ['payloads', 'payloads', 'codec', (payloads) => boot({ payloads })],
    ['migrationSql', 'options', 'schema', (options) => migrationSql(options)],
    ['startEmbeddedPostgres', 'options', 'dataDir', (options) => startEmbeddedPostgres(options)],
    [
      '@Step',
      '@Step() on Target.step',
      'retry',
      (options) => Step(options)({ constructor: class Target {} }, 'step', { value: async () => 1 }),
    ],
  ];

  it.each(calls)('are refused by name as options of %s, and nothing is written', async (name, argument, key, call) => {
    const before = await rows();
    for (const [what, options] of [...hostile, ...unreadable(key)]) {
      // Nest awaits the result of a factory, and so reads the result before the module can.
      if (name === 'what a factory gives' && what.includes('proxy')) continue;
      // Here, true is valid and means the defaults.
      if (options === true && argument === 'connection.embedded') continue;
      const error = await refusal(() => call(options as never));
      if (!(error instanceof InvalidInputError)) throw new Error(`${what} was not refused`, { cause: error });
      expect(error.argument).toContain(argument);
      if (what.includes(key)) expect(error.argument).toContain(key);
      expect(error.message).toContain(error.argument);
      expect(error.message.length).toBeLessThan(700);
    }
    expect(await rows()).toEqual(before);
  });

  it.each<[string, string, string, (ctx: WorkflowContext, options: never) => unknown]>([
    ['ctx.step', 'options of step "named"', 'key', (ctx, options) => ctx.step('named', options, () => 1)],
    ['the retry of ctx.step', 'retry of step "named"', 'maxAttempts', (ctx, retry) => ctx.step('named', { retry }, () => 1)],
  ])('are refused by name as options of %s, and no step is recorded', async (_call, argument, key, call) => {
    const cases = [...hostile, ...unreadable(key)];
    code = async (ctx) => {
      const errors: unknown[] = [];
      for (const [, options] of cases) errors.push(await refusal(() => call(ctx, options as never)));
      return errors;
    };
    const handle = await client.start(ScriptedWorkflow);
    const errors = (await handle.result()) as InvalidInputError[];
    errors.forEach((error, index) => {
      if (!(error instanceof InvalidInputError)) throw new Error(`${cases[index]![0]} was not refused`);
      expect(error.argument).toContain(argument);
    });
    expect(await handle.steps()).toEqual([]);
  });

  it.each<[string, unknown]>([
    ['a revoked proxy', revoked({})],
    ['a revoked proxy of a class', revoked(ScriptedWorkflow)],
    ['a proxy that throws', new Proxy(ScriptedWorkflow, { get: fail, has: fail, getOwnPropertyDescriptor: fail })],
    ['an object without a prototype', Object.create(null)],
  ])('are refused as a workflow: %s', async (_, workflow) => {
    for (const call of [() => client.start(workflow as never), () => client.startMany(workflow as never, [])]) {
      const error = await refusal(call);
      expect(error).toBeInstanceOf(WorkflowError);
      expect(['INVALID_INPUT', 'WORKFLOW_NOT_FOUND']).toContain((error as WorkflowError).code);
    }
  });

  it.each<[string, unknown]>([
    ['a revoked proxy', revoked([])],
    ['a proxy that throws', new Proxy([1], { get: fail })],
    ['an array with a getter that throws', Object.defineProperty([1], '0', { get: fail })],
    ['null', null],
  ])('are refused as inputs: %s', async (_, inputs) => {
    const error = await refusal(() => client.startMany(ScriptedWorkflow, inputs as never));
    expect(error).toBeInstanceOf(InvalidInputError);
    expect((error as InvalidInputError).argument).toBe('inputs');
  });

  it.each<[string, unknown]>([
    ['a getter that throws', Object.defineProperty({}, 'a', { get: fail, enumerable: true })],
    ['a proxy without keys to be seen', new Proxy({}, { ownKeys: fail })],
    ['a revoked proxy', revoked({})],
    ['a class instance', new (class Tags {})()],
  ])('are refused as tags: %s', async (_, tags) => {
    const error = await refusal(() => client.start(ScriptedWorkflow, 1, { tags: tags as never }));
    expect(error).toBeInstanceOf(InvalidInputError);
    expect((error as InvalidInputError).argument).toContain('options.tags');
  });

  it.each<[string, string, unknown]>([
    ['isGlobal', 'a text', { isGlobal: 'yes' }],
    ['dataSource', 'a number', { dataSource: 5 }],
    ['name', 'a number', { name: 5 }],
    ['name', 'NUL', { name: 'a\0b' }],
    ['dataSource', 'NUL', { dataSource: 'a\0b' }],
    ['imports', 'a class', { imports: ScriptedWorkflow }],
    ['inject', 'a text', { inject: 'x' }],
    ['useFactory', 'a text', { useFactory: 'x' }],
    ['useClass', 'an object', { useClass: {} }],
    ['useExisting', 'null', { useExisting: null }],
    ['options', 'nothing to make them', { imports: [] }],
  ])('are refused as an option of forRootAsync, %s: %s', async (argument, _, options) => {
    const error = await refusal(() =>
      WorkflowModule.forRootAsync({
        ...(argument.startsWith('use') || argument === 'options' ? {} : { useFactory: () => ({}) }),
        ...(options as object),
      }),
    );
    expect(error).toBeInstanceOf(InvalidInputError);
    expect((error as InvalidInputError).argument).toBe(argument);
  });

  it.each<[string, unknown]>([
    ['null', null],
    ['a text', 'guards'],
    ['an unknown one', ['filters']],
    ['one missing', Array.from({ length: 2 })],
    ['a proxy that throws', new Proxy(['guards'], { get: fail })],
    ['a revoked proxy', revoked([])],
  ])('are refused as enhancers: %s', async (_, enhancers) => {
    expect(await refusal(() => boot({ enhancers }))).toMatchObject({ code: 'INVALID_INPUT', argument: 'enhancers' });
  });

  it.each<[string, object, string]>([
    ['a getter that throws', Object.defineProperty({}, 'name', { get: fail, enumerable: true }), 'cannot be read'],
    ['a module that is a number', { name: 'x', module: 5 }, 'module'],
    ['a module called default', { name: 'x', module: 'default' }, 'module'],
    ['a scope that is a text', { name: 'x', scope: 'request' }, 'scope must be'],
  ])('are refused as options of @Workflow when the class is defined: %s', (_, options, said) => {
    expect(() => Workflow(options as never)(class Target {} as never)).toThrow(said);
  });

  it.each<[string, unknown]>([
    ['null', null],
    ['a text', 'aes'],
    ['an object without methods', {}],
    ['half of one', { encode: (bytes: Uint8Array) => bytes }],
    ['a proxy that throws', new Proxy({}, { get: fail })],
    ['a revoked proxy', revoked({})],
  ])('are refused as a payload codec: %s', async (_, codec) => {
    const error = await refusal(() => boot({ payloads: { codec } }));
    expect(error).toBeInstanceOf(InvalidInputError);
    expect((error as InvalidInputError).argument).toBe('payloads.codec');
  });

  it.each(['a.b', '', 'a\nb', 'x'.repeat(64), 5, null])('are refused as the schema of migrationSql: %p', async (schema) => {
    expect(await refusal(() => migrationSql({ schema: schema as never }))).toMatchObject({
      code: 'INVALID_INPUT',
      argument: 'options.schema',
    });
  });

  it('options without a prototype and options with getters are accepted, and each getter is read once', async () => {
    code = () => 'fine';
    let reads = 0;
    const options = Object.create(null) as { id: string; tags: Record<string, string> };
    Object.defineProperty(options, 'id', { enumerable: true, get: () => `read ${++reads} times` });
    options.tags = JSON.parse('{"__proto__": "x", "constructor": "quote\'s \\"and\\" --"}') as Record<string, string>;
    const handle = await client.start(ScriptedWorkflow, 1, options);
    // The value that was checked is the value that is used.
    expect(handle.runId).toBe('read 1 times');
    await expect(handle.result()).resolves.toBe('fine');
    const { tags } = await handle.describe();
    expect(Object.entries(tags)).toEqual(expect.arrayContaining(Object.entries(options.tags)));
    expect(migrationSql({ schema: 'quote"d; --' })).toContain('"quote""d; --".workflow_runs');
  });
});
