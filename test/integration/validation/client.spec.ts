import { inspect } from 'node:util';

import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';

import { InvalidInputError, Step, Workflow, WorkflowError, workflowRef, type WorkflowClient } from '../../../src/index.js';
import { closeApplications, startApplication } from '../../support/application.js';
import { createTestDatabase, type TestDatabase } from '../../support/database.js';

@Workflow({ name: 'greet' })
class GreetWorkflow {
  async run(name: unknown): Promise<string> {
    return this.greet(name);
  }

  @Step()
  async greet(name: unknown): Promise<string> {
    return `hello ${String(name)}`;
  }
}

class NotAWorkflow {
  async run(): Promise<void> {}
}

/** Values that are not usable as a short text anywhere. */
const badTexts: [string, unknown][] = [
  ['a number', 7],
  ['null', null],
  ['an object', { toString: () => 'x' }],
  ['an array', ['x']],
  ['a symbol', Symbol('x')],
  ['a bigint', 1n],
  ['a function', () => 'x'],
  ['true', true],
  ['an empty text', ''],
  ['a text with NUL', 'a\u0000b'],
  ['a text with a line break', 'a\nb'],
  ['a text with a control character of C1', 'a\u009b31m'],
  ['a text with a line separator', 'a\u2028b'],
  ['a text that turns its direction', 'a\u202eb'],
  ['a text in an isolate', 'a\u2066b'],
  ['a lone surrogate', 'a\ud800'],
  ['a text of 256 characters', 'x'.repeat(256)],
  ['a text of 10,000 characters', 'é'.repeat(10_000)],
];

const throws = (): never => {
  throw new Error('hostile');
};

const badDurations: [string, unknown][] = [
  ['a negative number', -1],
  ['NaN', Number.NaN],
  ['infinity', Infinity],
  ['more than a hundred years', 1e15],
  ['more than a hundred years in words', '101 years'],
  ['nonsense', 'soon'],
  ['an empty text', ''],
  ['a text of 10,000 characters', '1'.repeat(10_000)],
  ['NUL', '\u0000'],
  ['null', null],
  ['a bigint', 10n],
  ['an object', { valueOf: () => 5 }],
  ['a symbol', Symbol('5s')],
  ['an array', [5]],
];

const badDates: [string, unknown][] = [
  ['an invalid Date', new Date(Number.NaN)],
  ['a number', Date.now()],
  ['a text', '2030-01-01'],
  ['null', null],
  ['a date far off', new Date(8.64e15)],
  ['an object', { getTime: () => 0 }],
];

const badOptions: [argument: string, what: string, options: unknown][] = [
  ['options', 'null', null],
  ['options', 'a text', 'options'],
  ['options', 'a number', 7],
  ['options', 'an array', []],
  ['options', 'a function', () => undefined],
  ['options.dealy', 'a misspelt option', { dealy: 5 }],
  ['options.__proto__', 'an own __proto__', JSON.parse('{"__proto__": {"id": "x"}}')],
  ...badTexts.map(([what, id]) => ['options.id', what, { id }] as [string, string, unknown]),
  ...badTexts.map(([what, queue]) => ['options.queue', what, { queue }] as [string, string, unknown]),
  ...badDurations.map(([what, delay]) => ['options.delay', what, { delay }] as [string, string, unknown]),
  ...badDates.map(([what, startAt]) => ['options.startAt', what, { startAt }] as [string, string, unknown]),
  ...[1.5, Number.NaN, Infinity, 32_768, -32_769, '5', null, 5n, {}, true].map(
    (priority) => ['options.priority', inspect(priority), { priority }] as [string, string, unknown],
  ),
  ...['replace', '', null, true, 0, ['return']].map(
    (onConflict) => ['options.onConflict', String(onConflict), { onConflict }] as [string, string, unknown],
  ),
  ['options.startAt', 'a delay as well', { delay: 1, startAt: new Date() }],
  ...[null, 'tags', 7, ['a'], () => undefined, new Map([['a', 'b']])].map(
    (tags) => ['options.tags', inspect(tags), { tags }] as [string, string, unknown],
  ),
  ['options.tags', '51 tags', { tags: Object.fromEntries(Array.from({ length: 51 }, (_, index) => [`t${index}`, 'x'])) }],
  ...badTexts.map(([what, value]) => ['options.tags', what, { tags: { a: value } }] as [string, string, unknown]),
  ...badTexts
    .filter(([, key]) => typeof key === 'string')
    .map(([what, key]) => ['options.tags', `the key ${what}`, { tags: { [key as string]: 'x' } }] as [string, string, unknown]),
  ['options.manager', 'a text', { manager: 'manager' }],
  ['options.manager', 'null', { manager: null }],
  ['options.manager', 'a proxy that throws', { manager: new Proxy({}, { get: throws }) }],
  ['options.manager', 'a transaction of nothing', { manager: { query: throws, queryRunner: { isTransactionActive: true } } }],
  ['options.manager', 'a query runner that throws', { manager: { query: throws, queryRunner: new Proxy({}, { get: throws }) } }],
  [
    'options.manager',
    'a DataSource of nothing',
    { manager: { query: throws, queryRunner: { isTransactionActive: true, connection: { subscribers: [] } } } },
  ],
];

describe('the client', () => {
  let database: TestDatabase;
  let client: WorkflowClient;
  beforeAll(async () => {
    database = await createTestDatabase();
    ({ client } = await startApplication(database.url, [], { worker: false }));
  });
  afterEach(async () => {
    const written: unknown[] = [];
    for (const table of ['runs', 'tags', 'steps', 'inbox', 'run_log']) {
      written.push(...(await database.query(`DELETE FROM durable.workflow_${table} RETURNING *`)));
    }
    expect(written).toEqual([]);
  });
  afterAll(async () => {
    // The process still works after all refusals.
    await startApplication(database.url, [GreetWorkflow]);
    await expect(client.execute(GreetWorkflow, 'Ada')).resolves.toBe('hello Ada');
    await closeApplications();
    await database.drop();
  });

  const refusal = async (call: () => Promise<unknown>): Promise<InvalidInputError> => {
    const error = await call().then(
      (value) => new Error(`not refused: ${String(value)}`),
      (thrown: unknown) => thrown,
    );
    if (!(error instanceof WorkflowError)) throw error;
    expect(error).toBeInstanceOf(InvalidInputError);
    expect(error.message.length).toBeLessThan(700);
    return error as InvalidInputError;
  };

  it.each(badOptions)('refuses a start with invalid %s: %s', async (argument, _, options) => {
    for (const call of [
      () => client.start(GreetWorkflow, 'x', options as never),
      () => client.startMany(GreetWorkflow, ['x', 'y'], () => options as never),
      () => client.execute(GreetWorkflow, 'x', options as never),
    ]) {
      const error = await refusal(call);
      expect(error.argument).toContain(argument);
      expect(error.message).toContain(error.argument);
    }
  });

  it.each(badOptions.filter(([argument]) => argument === 'options'))(
    'refuses startMany with invalid shared %s: %s',
    async (argument, what, options) => {
      if (what === 'a function') return;
      const error = await refusal(() => client.startMany(GreetWorkflow, ['x', 'y'], options as never));
      expect(error.argument).toBe(argument);
    },
  );

  it('refuses startMany with one id for all runs', async () => {
    const error = await refusal(() => client.startMany(GreetWorkflow, ['x', 'y'], { id: 'same' } as never));
    expect(error.argument).toBe('options.id');
  });

  it.each<[string, unknown]>([
    ['null', null],
    ['undefined', undefined],
    ['a text', 'xy'],
    ['an object', { length: 2 }],
    ['a Set', new Set(['x'])],
    ['a hole', Array.of<unknown>('x').concat(Array(2))],
  ])('refuses invalid inputs of startMany: %s', async (what, inputs) => {
    const error = await refusal(() => client.startMany(GreetWorkflow, inputs as never, { delay: '1h' }));
    expect(error.argument).toContain(what === 'a hole' ? 'inputs[1]' : 'inputs');
  });

  it.each<[string, unknown]>([
    ['undefined', undefined],
    ['null', null],
    ['a number', 7],
    ['a symbol', Symbol('greet')],
    ['a class without @Workflow', NotAWorkflow],
    ['an instance', new GreetWorkflow()],
    ['a plain object with a name', { name: 'greet' }],
    ['an object without a prototype', Object.create(null)],
    ['a class that extends a workflow', class Derived extends GreetWorkflow {}],
    ...badTexts.filter(([, value]) => typeof value === 'string'),
  ])('refuses a workflow that is %s', async (_, workflow) => {
    for (const call of [
      () => client.start(workflow as never),
      () => client.startMany(workflow as never, [1]),
      () => client.execute(workflow as never),
    ]) {
      const error = await call().catch((thrown: unknown) => thrown);
      expect(error).toBeInstanceOf(WorkflowError);
      expect(['INVALID_INPUT', 'WORKFLOW_NOT_FOUND']).toContain((error as WorkflowError).code);
    }
  });

  it.each(badTexts)('refuses a workflowRef whose name is %s', (_, name) => {
    expect(() => workflowRef(name as never)).toThrow(InvalidInputError);
  });

  it.each([...badTexts, ['undefined', undefined] as [string, unknown]])('refuses a run id that is %s', async (_, id) => {
    expect(() => client.getHandle(id as never)).toThrow(InvalidInputError);
    expect(() => client.getHandle(GreetWorkflow, id as never)).toThrow(InvalidInputError);
    for (const call of [
      () => client.status(id as never),
      () => client.describe(id as never),
      () => client.steps(id as never),
      () => client.cancel(id as never),
    ]) {
      expect((await refusal(call)).argument).toBe('runId');
    }
  });

  it.each<[string, string, unknown]>([
    ['options', 'null', null],
    ['options', 'a text', 'because'],
    ['options.raeson', 'a misspelt option', { raeson: 'x' }],
    ...badTexts.map(([what, actor]) => ['options.actor', what, { actor }] as [string, string, unknown]),
    ...badTexts.map(([what, reason]) => ['options.reason', what, { reason }] as [string, string, unknown]),
  ])('refuses cancel with invalid %s: %s', async (argument, _, options) => {
    expect((await refusal(() => client.cancel('nobody', options as never))).argument).toBe(argument);
    expect((await refusal(() => client.getHandle('nobody').cancel(options as never))).argument).toBe(argument);
  });

  it.each<[string, string, unknown]>([
    ['options', 'null', null],
    ['options', 'a number', 5],
    ...badDurations.map(([what, timeout]) => ['options.timeout', what, { timeout }] as [string, string, unknown]),
  ])('refuses result with invalid %s: %s', async (argument, _, options) => {
    expect((await refusal(() => client.getHandle('nobody').result(options as never))).argument).toBe(argument);
  });
});
