import { inspect } from 'node:util';

import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';

import { InvalidInputError, Step, Workflow, WorkflowFailedError, type WorkflowClient, type WorkflowContext } from '../../../src/index.js';
import { closeApplications, startApplication } from '../../support/application.js';
import { createTestDatabase, type TestDatabase } from '../../support/database.js';
import { seconds } from '../../support/wait.js';

type Code = (ctx: WorkflowContext, self: ScriptedWorkflow) => unknown;
let code: Code = () => undefined;
let keyOf: (...args: unknown[]) => unknown = () => 'key';
let bodies = 0;

@Workflow({ name: 'scripted', retry: { maxAttempts: 1 } })
class ScriptedWorkflow {
  async run(_input: void, ctx: WorkflowContext): Promise<unknown> {
    return code(ctx, this);
  }

  @Step({ key: (arg: unknown) => keyOf(arg) as string })
  async keyed(_arg: unknown): Promise<void> {
    bodies++;
  }
}

const badTexts: [string, unknown][] = [
  ['a number', 7],
  ['null', null],
  ['an object', {}],
  ['an object without a prototype', Object.create(null)],
  ['a symbol', Symbol('x')],
  ['a bigint', 1n],
  ['true', true],
  ['an empty text', ''],
  ['256 characters', 'x'.repeat(256)],
  ['10,000 characters', 'x'.repeat(10_000)],
];

const badDurations: [string, unknown][] = [
  ['a negative number', -1],
  ['NaN', Number.NaN],
  ['infinity', Infinity],
  ['more than a hundred years', 1e15],
  ['nonsense', 'soon'],
  ['an empty text', ''],
  ['10,000 characters', '1'.repeat(10_000)],
  ['null', null],
  ['a bigint', 10n],
  ['a symbol', Symbol('5s')],
  ['an object', {}],
];

const step = (options: unknown) => (ctx: WorkflowContext) => ctx.step('named', options as never, () => bodies++);

const refused: [argument: string, what: string, script: Code][] = [
  ...badTexts.map(([what, name]): [string, string, Code] => ['step name', what, (ctx) => ctx.step(name as never, () => bodies++)]),
  ['step name', 'undefined', (ctx) => ctx.step(undefined as never, () => bodies++)],
  ...badTexts.map(([what, key]): [string, string, Code] => ['key of step', what, step({ key })]),
  ...badTexts.map(([what, key]): [string, string, Code] => [
    'key of step',
    `${what} from a decorator`,
    (_, self) => {
      keyOf = () => key;
      return self.keyed(1);
    },
  ]),
  ['key of step', 'undefined from a decorator', (_, self) => ((keyOf = () => undefined), self.keyed(1))],
  ['options of step', 'null', step(null)],
  ['options of step', 'a text', step('options')],
  ['options of step', 'an array', step([])],
  ['options of step "named".retyr', 'a misspelt option', step({ retyr: {} })],
  ...badDurations.map(([what, timeout]): [string, string, Code] => ['timeout of step', what, step({ timeout })]),
  ['retry of step', 'null', step({ retry: null })],
  ['retry of step', 'a number', step({ retry: 3 })],
  ['retry of step "named".maxAttemps', 'a misspelt option', step({ retry: { maxAttemps: 3 } })],
  ...[0, -1, 1.5, Number.NaN, Infinity, '3', null, 1e9].map((maxAttempts): [string, string, Code] => [
    'retry of step "named".maxAttempts',
    String(maxAttempts),
    step({ retry: { maxAttempts } }),
  ]),
  ...badDurations.map(([what, initialInterval]): [string, string, Code] => [
    'retry of step "named".initialInterval',
    what,
    step({ retry: { initialInterval } }),
  ]),
  ...badDurations.map(([what, maxInterval]): [string, string, Code] => [
    'retry of step "named".maxInterval',
    what,
    step({ retry: { maxInterval } }),
  ]),
  ...[0, Number.NaN, Infinity, '2', null].map((backoffCoefficient): [string, string, Code] => [
    'retry of step "named".backoffCoefficient',
    String(backoffCoefficient),
    step({ retry: { backoffCoefficient } }),
  ]),
  ['retry of step "named".jitter', 'a text', step({ retry: { jitter: 'yes' } })],
  ['retry of step "named".retryIf', 'true', step({ retry: { retryIf: true } })],
  ['transactional of step "named"', 'false', step({ transactional: false })],
  ['transactional of step "named"', 'null', step({ transactional: null })],
  ['transactional of step "named".isolation', 'an unknown level', step({ transactional: { isolation: 'SNAPSHOT' } })],
  ['transactional of step "named".isolation', 'missing', step({ transactional: {} })],
  ['transactional of step "named".level', 'a misspelt option', step({ transactional: { isolation: 'SERIALIZABLE', level: 1 } })],
  ['fn of step', 'missing', (ctx) => ctx.step('named', undefined as never)],
  ['fn of step', 'a text', (ctx) => ctx.step('named', {}, 'fn' as never)],
  ['fn of step', 'options alone', (ctx) => ctx.step('named', {} as never)],
  ...badDurations.map(([what, duration]): [string, string, Code] => ['duration of sleep', what, (ctx) => ctx.sleep(duration as never)]),
  ['duration of sleep', 'undefined', (ctx) => ctx.sleep(undefined as never)],
  ['duration of sleep', 'a Date', (ctx) => ctx.sleep(new Date() as never)],
  ...[new Date(Number.NaN), new Date(8.64e15), 'tomorrow', 5, null, undefined, {}].map((date): [string, string, Code] => [
    'date of sleepUntil',
    inspect(date),
    (ctx) => ctx.sleepUntil(date as never),
  ]),
];

describe('the context of a workflow', () => {
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

  it.each(refused)('refuses an invalid argument, %s: %s', async (argument, _, script) => {
    bodies = 0;
    // Every refusal is a promise that rejects, so an await can catch the error.
    code = async (ctx, self) => {
      const promise = script(ctx, self) as Promise<unknown>;
      return promise.then(
        () => 'allowed',
        (error: unknown) => error,
      );
    };
    const handle = await client.start(ScriptedWorkflow);
    const error = await handle.result({ timeout: seconds(5) });
    expect(error).toBeInstanceOf(InvalidInputError);
    expect((error as InvalidInputError).argument).toContain(argument);
    expect((error as Error).message.length).toBeLessThan(1_000);
    expect(bodies).toBe(0);
    expect(await handle.steps()).toEqual([]);
  });

  it('fails only the run that does not catch the refusal', async () => {
    code = (ctx) => ctx.sleep('soon' as never);
    const failing = await client.start(ScriptedWorkflow);
    const error = await failing.result().catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(WorkflowFailedError);
    expect((error as Error).cause).toBeInstanceOf(InvalidInputError);
    code = () => 'fine';
    await expect(client.execute(ScriptedWorkflow)).resolves.toBe('fine');
  });

  it.each(['quote\'s "and" \\ ; --', '__proto__', 'constructor', 'a:b', 'a#b', '#', 'ünïcödé 😀', 'x'.repeat(255)])(
    'accepts %j as a step name',
    async (name) => {
      code = async (ctx) => [await ctx.step(name, () => 1), await ctx.step(name, () => 2)];
      const handle = await client.start(ScriptedWorkflow);
      await expect(handle.result()).resolves.toEqual([1, 2]);
      expect((await handle.steps()).map(({ stepKey }) => stepKey)).toEqual([name, `${name}#2`]);
    },
  );

  it.each(['quote\'s "and" \\ ; --', '__proto__', 'a:b', '2'])('accepts %j as a key', async (key) => {
    code = (ctx) => ctx.step('keyed', { key }, () => 1);
    const handle = await client.start(ScriptedWorkflow);
    await handle.result();
    expect((await handle.steps())[0]!.stepKey).toBe(`keyed:${key}`);
  });
});
