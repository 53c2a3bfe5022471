import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';

import {
  InvalidInputError,
  PayloadTooLargeError,
  SerializationError,
  StepFailedError,
  Workflow,
  WorkflowFailedError,
  type WorkflowContext,
  type WorkflowHandle,
} from '../../../src/index.js';
import { closeApplications, startApplication } from '../../support/application.js';
import { createTestDatabase, type TestDatabase } from '../../support/database.js';

class OutOfStock extends Error {
  override name = 'OutOfStock';
  constructor(
    readonly sku: string,
    cause: unknown,
  ) {
    super(`no ${sku} left`, { cause });
  }
}

type Code = (ctx: WorkflowContext) => unknown;
let code: Code = () => undefined;

@Workflow({ name: 'scripted', retry: { maxAttempts: 1 } })
class ScriptedWorkflow {
  async run(_input: void, ctx: WorkflowContext): Promise<unknown> {
    return code(ctx);
  }
}

@Workflow({ name: 'healthy' })
class HealthyWorkflow {
  async run(_input: void, ctx: WorkflowContext): Promise<string> {
    return ctx.step('fine', () => 'well');
  }
}

async function failureOf(handle: WorkflowHandle): Promise<WorkflowFailedError> {
  const error = await handle.result().then(
    () => new Error('the run did not fail'),
    (thrown: unknown) => thrown,
  );
  if (!(error instanceof WorkflowFailedError)) throw error;
  return error;
}

describe('failures of runs', () => {
  let database: TestDatabase;
  beforeAll(async () => {
    database = await createTestDatabase();
  });
  afterEach(closeApplications);
  afterAll(() => database.drop());

  const start = async (script: Code) => {
    code = script;
    const { client } = await startApplication(database.url, [ScriptedWorkflow, HealthyWorkflow], { defaults: { maxPayloadBytes: 4_096 } });
    return { client, handle: await client.start(ScriptedWorkflow) };
  };

  it('a failed run gives what its code threw as the cause: name, message, stack, fields and own cause', async () => {
    const { client, handle } = await start(() => {
      throw new OutOfStock('apple', new TypeError('shelf is empty'));
    });
    const error = await failureOf(handle);
    expect(error.runId).toBe(handle.runId);
    expect(error.message).toContain('no apple left');
    const cause = error.cause as Error;
    expect(cause).toBeInstanceOf(Error);
    expect(cause).toMatchObject({ name: 'OutOfStock', message: 'no apple left', sku: 'apple' });
    expect(cause.stack).toContain('failures.spec');
    expect(cause.cause).toMatchObject({ name: 'TypeError', message: 'shelf is empty' });
    // A handle made later gives the same cause.
    const later = await failureOf(client.getHandle(ScriptedWorkflow, handle.runId));
    expect(later.cause).toEqual(cause);
    const description = await handle.describe();
    expect(description).toMatchObject({ status: 'failed', output: undefined, error: { name: 'OutOfStock' } });
    expect(description.finishedAt).toBeInstanceOf(Date);
    const [row] = await database.query('SELECT status, error FROM durable.workflow_runs WHERE id = $1', [handle.runId]);
    expect(row).toMatchObject({ status: 'failed', error: { name: 'OutOfStock', message: 'no apple left', cause: { name: 'TypeError' } } });
  });

  it('a failed run gives the error of a step that its code did not catch as the cause', async () => {
    const { handle } = await start((ctx) =>
      ctx.step('sell', () => {
        throw new OutOfStock('pear', undefined);
      }),
    );
    const { cause } = await failureOf(handle);
    expect(cause).toBeInstanceOf(StepFailedError);
    expect(StepFailedError.is(cause, OutOfStock)).toBe(true);
    expect(cause).toMatchObject({ stepKey: 'sell', attempts: 1, cause: { name: 'OutOfStock', message: 'no pear left' } });
  });

  it.each<[string, unknown]>([
    ['a string', 'just text'],
    ['undefined', undefined],
    ['null', null],
    ['a frozen object', Object.freeze({ a: 1 })],
    [
      'an object that cannot be read',
      new Proxy(
        {},
        {
          get: () => {
            throw new Error('hands off');
          },
        },
      ),
    ],
    ['an error with a cycle', Object.assign(new Error('cyclic'), { self: null })],
    ['an error with NUL and a lone surrogate', new Error('nul \u0000 lone \ud800')],
    ['an error of a megabyte', new Error('x'.repeat(1_000_000))],
  ])('a run fails when its code throws %s', async (_, thrown) => {
    if (thrown instanceof Error && 'self' in thrown) Object.assign(thrown, { self: thrown });
    const { handle } = await start(() => {
      throw thrown;
    });
    await failureOf(handle);
    await expect(handle.status()).resolves.toBe('failed');
  });

  it('a step whose result cannot be stored fails after one attempt, and no other step or run fails', async () => {
    let bodies = 0;
    const { client, handle } = await start(async (ctx) => {
      const results = await Promise.allSettled([
        ctx.step('good', () => 1),
        ctx.step('bad', { retry: { maxAttempts: 5 } }, () => {
          bodies++;
          return { items: [{ price: () => 1 }] };
        }),
        ctx.step('also good', () => 2),
      ]);
      return results.map((result) => (result.status === 'rejected' ? (result.reason as Error).cause : result.value));
    });
    const neighbours = await Promise.all(Array.from({ length: 10 }, () => client.start(HealthyWorkflow)));
    const [good, bad, alsoGood] = (await handle.result()) as unknown[];
    expect([good, alsoGood]).toEqual([1, 2]);
    expect(bad).toBeInstanceOf(SerializationError);
    expect(bad).toMatchObject({ path: 'output of step "bad".items[0].price' });
    expect(bodies).toBe(1);
    await expect(Promise.all(neighbours.map((neighbour) => neighbour.result()))).resolves.toEqual(Array(10).fill('well'));
  });

  it('a run fails when the result of its step is too large', async () => {
    const { handle } = await start((ctx) => ctx.step('large', () => 'é'.repeat(3_000)));
    const { cause } = await failureOf(handle);
    expect((cause as Error).cause).toBeInstanceOf(PayloadTooLargeError);
    expect((cause as Error).cause).toMatchObject({ maxBytes: 4_096, bytes: 6_002 });
  });

  it.each<[string, unknown, unknown]>([
    ['cannot be stored', { f: () => 1 }, SerializationError],
    ['is too large', 'x'.repeat(5_000), PayloadTooLargeError],
  ])('a run fails when its own result %s', async (_, value, type) => {
    const { handle } = await start(() => value);
    const { cause } = await failureOf(handle);
    expect(cause).toBeInstanceOf(type);
    await expect(handle.status()).resolves.toBe('failed');
  });

  it('a run fails when its code passes an invalid duration to ctx.sleep', async () => {
    const { handle } = await start((ctx) => ctx.sleep('a while' as never));
    expect((await failureOf(handle)).cause).toBeInstanceOf(InvalidInputError);
  });

  it('a run completes although a step that its code does not await fails', async () => {
    const { handle } = await start(async (ctx) => {
      void ctx.step('forgotten', () => {
        throw new Error('nobody hears this');
      });
      await ctx.sleep(20);
      return 'done';
    });
    await expect(handle.result()).resolves.toBe('done');
    expect((await handle.steps()).map(({ stepKey, status }) => [stepKey, status])).toEqual([
      ['forgotten', 'failed'],
      ['sleep', 'completed'],
    ]);
  });

  it('a run fails with StepFailedError when a step throws an error that cannot be inspected', async () => {
    const { client } = await startApplication(database.url, [ScriptedWorkflow]);
    const refuse = (): never => {
      throw new Error('trap');
    };
    code = (ctx) =>
      ctx.step('odd', () => {
        throw new Proxy(new Error('hidden'), { get: refuse, getPrototypeOf: refuse });
      });
    const error = await failureOf(await client.start(ScriptedWorkflow));
    expect((error.cause as Error).name).toBe('StepFailedError');
  });
});
