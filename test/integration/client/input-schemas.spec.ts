import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import { DataSource } from 'typeorm';
import * as v from 'valibot';
import { z } from 'zod';

import {
  InvalidInputError,
  Workflow,
  WorkflowConfigurationError,
  WorkflowModule,
  workflowRef,
  type WorkflowClient,
} from '../../../src/index.js';
import { bootApplication, closeApplications, startApplication } from '../../support/application.js';
import { createTestDatabase, type TestDatabase } from '../../support/database.js';

let checks = 0;

const zodOrder = z.object({
  id: z.string().min(1),
  amount: z.string().transform(Number),
  placedAt: z.date().default(() => new Date(++checks)),
  items: z.array(z.object({ sku: z.string() })).default([]),
});

@Workflow({ name: 'zod' })
class ZodWorkflow {
  static readonly input = zodOrder;
  async run(order: z.output<typeof zodOrder>): Promise<unknown> {
    return order;
  }
}

@Workflow({ name: 'zod', version: 2 })
class NextZodWorkflow extends ZodWorkflow {}

const taken = new Set(['taken']);
const valibotUser = v.objectAsync({
  name: v.pipeAsync(
    v.string(),
    v.checkAsync(async (name) => !taken.has(name), 'is taken'),
  ),
  role: v.optional(v.picklist(['admin', 'user']), 'user'),
});

@Workflow({ name: 'valibot' })
class ValibotWorkflow {
  static readonly input = valibotUser;
  async run(user: v.InferOutput<typeof valibotUser>): Promise<unknown> {
    return user;
  }
}

@Workflow({ name: 'option', input: v.pipe(v.string(), v.trim(), v.minLength(1)) })
class OptionWorkflow {
  async run(text: string): Promise<string> {
    return text;
  }
}

@Workflow({ name: 'throwing' })
class ThrowingWorkflow {
  static readonly input = z.string().transform((): string => {
    throw new Error('secret 4711');
  });
  async run(text: string): Promise<unknown> {
    return text;
  }
}

@Workflow({ name: 'no schema' })
class StaticInputWorkflow {
  static readonly input = "the class's own business";
  async run(input: number): Promise<unknown> {
    return input;
  }
}

describe('the input schema of a workflow', () => {
  let database: TestDatabase;
  let client: WorkflowClient;
  const workflows = [ZodWorkflow, NextZodWorkflow, ValibotWorkflow, OptionWorkflow, ThrowingWorkflow, StaticInputWorkflow];
  beforeAll(async () => {
    database = await createTestDatabase();
    ({ client } = await startApplication(database.url, workflows));
  });
  afterAll(async () => {
    await closeApplications();
    await database.drop();
  });
  const rows = () => database.query('SELECT id FROM durable.workflow_runs ORDER BY id');

  it('parses the input once, and the run receives and shows the parsed input', async () => {
    checks = 0;
    const handle = await client.start(ZodWorkflow, { id: 'a', amount: '12.5' });
    const parsed = { id: 'a', amount: 12.5, placedAt: new Date(1), items: [] };
    await expect(handle.result()).resolves.toEqual(parsed);
    expect((await handle.describe()).input).toEqual(parsed);
    expect(checks).toBe(1);
    await expect(client.execute(ValibotWorkflow, { name: 'Ada' })).resolves.toEqual({ name: 'Ada', role: 'user' });
  });

  it('refuses an invalid input with the path of every issue, and nothing is written', async () => {
    const before = await rows();
    const error = (await client
      .start(ZodWorkflow, { id: '', items: [{ sku: 5 }] } as never)
      .catch((thrown: unknown) => thrown)) as InvalidInputError;
    expect(error).toBeInstanceOf(InvalidInputError);
    expect(error.argument).toBe('input.id');
    expect(error.issues.map(({ path }) => path)).toEqual([['id'], ['amount'], ['items', 0, 'sku']]);
    expect(error.message).toContain('input.items[0].sku');
    await expect(client.execute(ZodWorkflow, undefined as never)).rejects.toMatchObject({ argument: 'input', code: 'INVALID_INPUT' });
    await expect(client.start(ValibotWorkflow, { name: 'taken' })).rejects.toMatchObject({
      argument: 'input.name',
      issues: [{ message: 'is taken', path: ['name'] }],
    });
    expect(await rows()).toEqual(before);
  });

  it('checks all inputs of startMany before any run is started', async () => {
    const before = await rows();
    await expect(client.startMany(ValibotWorkflow, [{ name: 'Ada' }, { name: 'taken' }])).rejects.toMatchObject({
      argument: 'inputs[1].name',
    });
    expect(await rows()).toEqual(before);
    const handles = await client.startMany(ValibotWorkflow, [{ name: 'Ada' }, { name: 'Bob', role: 'admin' }]);
    expect(await Promise.all(handles.map((handle) => handle.result()))).toEqual([
      { name: 'Ada', role: 'user' },
      { name: 'Bob', role: 'admin' },
    ]);
  });

  it('checks the input of a start in a transaction', async () => {
    const dataSource = await new DataSource({ type: 'postgres', url: database.url }).initialize();
    try {
      const handle = await dataSource.transaction(async (manager) => {
        await expect(client.start(ValibotWorkflow, { name: 'taken' }, { manager })).rejects.toBeInstanceOf(InvalidInputError);
        return client.start(ValibotWorkflow, { name: 'Eve' }, { manager });
      });
      await expect(handle.result()).resolves.toEqual({ name: 'Eve', role: 'user' });
    } finally {
      await dataSource.destroy();
    }
  });

  it('refuses the start when it throws, and the error message does not quote the thrown text', async () => {
    const error = (await client.start(ThrowingWorkflow, 'x').catch((thrown: unknown) => thrown)) as InvalidInputError;
    expect(error).toBeInstanceOf(InvalidInputError);
    expect(error.argument).toBe('input');
    expect(error.message).not.toContain('4711');
    expect((error.cause as Error).message).toContain('4711');
  });

  it('may be an option of @Workflow', async () => {
    await expect(client.execute(OptionWorkflow, '  x ')).resolves.toBe('x');
    await expect(client.start(OptionWorkflow, '   ')).rejects.toMatchObject({ argument: 'input' });
  });

  it('is inherited as a static property, so a derived version checks its input too', async () => {
    await expect(client.execute(NextZodWorkflow, { id: 'x', amount: '7' })).resolves.toMatchObject({ amount: 7 });
    await expect(client.start(NextZodWorkflow, { id: '' } as never)).rejects.toMatchObject({ code: 'INVALID_INPUT', argument: 'input.id' });
  });

  it('does not check starts by name or by workflowRef', async () => {
    await expect(client.execute('valibot', { name: 'taken' })).resolves.toEqual({ name: 'taken' });
    await expect(client.execute(workflowRef('valibot'), { name: 'taken' })).resolves.toEqual({ name: 'taken' });
  });

  it('is absent when the static input property is not a schema', async () => {
    await expect(client.execute(StaticInputWorkflow, 5)).resolves.toBe(5);
  });
});

describe('an input option that is not a schema', () => {
  let database: TestDatabase;
  let client: WorkflowClient;
  beforeAll(async () => {
    database = await createTestDatabase();
    ({ client } = await startApplication(database.url, []));
  });
  afterEach(() => expect(database.query('SELECT id FROM durable.workflow_runs')).resolves.toEqual([]));
  afterAll(async () => {
    await closeApplications();
    await database.drop();
  });

  it.each<[string, unknown]>([
    ['null', null],
    ['a text', 'string'],
    ['an object', {}],
    ['a function', () => true],
    ['a schema of another version', { '~standard': { version: 2, vendor: 'x', validate: () => ({ value: 1 }) } }],
    [
      'a proxy that throws',
      new Proxy(
        {},
        {
          get: () => {
            throw new Error('no');
          },
        },
      ),
    ],
  ])('is refused at boot and at a start when it is %s', async (_, input) => {
    @Workflow({ name: 'odd', input: input as never })
    class OddWorkflow {
      async run(): Promise<void> {}
    }
    // Boot refuses a class that is a provider; the start refuses any other class.
    const imports = [WorkflowModule.forRoot({ worker: {}, connection: { url: database.url } })];
    await expect(bootApplication({ imports, providers: [OddWorkflow] })).rejects.toBeInstanceOf(WorkflowConfigurationError);
    await expect(client.start(OddWorkflow)).rejects.toBeInstanceOf(WorkflowConfigurationError);
  });
});
