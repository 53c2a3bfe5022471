import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';

import { PayloadTooLargeError, SerializationError, Step, Workflow, type WorkflowContext } from '../../../src/index.js';
import { closeApplications, startApplication } from '../../support/application.js';
import { createTestDatabase, type TestDatabase } from '../../support/database.js';
import { seconds } from '../../support/wait.js';

/** Step results that the passes of each run received, by run id. */
const seen = new Map<string, unknown[]>();
/** Milliseconds that each run sleeps. */
let sleepMs = 20;

@Workflow({ name: 'echo' })
class EchoWorkflow {
  async run(input: unknown, ctx: WorkflowContext): Promise<unknown> {
    const output = await this.echo(input);
    seen.set(ctx.runId, [...(seen.get(ctx.runId) ?? []), output]);
    await ctx.sleep(sleepMs);
    return output;
  }

  @Step()
  async echo(value: unknown): Promise<unknown> {
    return value;
  }
}

class Money {
  constructor(
    readonly amount: bigint,
    readonly currency: string,
  ) {}
  format(): string {
    return `${this.amount} ${this.currency}`;
  }
}

const shared = { n: 1 };

const values: [string, unknown, unknown?][] = [
  ['null', null],
  ['undefined', undefined],
  ['an empty string', ''],
  ['a BigInt', 2n ** 100n],
  ['-0, NaN and infinities', [-0, Number.NaN, Infinity, -Infinity]],
  [
    'a Map',
    new Map<unknown, unknown>([
      ['a', 1],
      [{ b: 2 }, new Set([1n])],
    ]),
  ],
  ['a Date', { at: new Date(123_456) }],
  ['undefined in an array and an object', { a: [undefined, 1], b: undefined }],
  ['NUL', 'a\u0000b'],
  ['NUL in a key', { 'a\u0000b': 1 }],
  ['lone surrogates', ['\ud800', 'x\udc00y', '\ud83d\ude00']],
  ['text that looks like an escape', ['\\u0000', '$', '$$', '$bigint', { $: 1 }, { $date: 'x' }]],
  ['an own __proto__', JSON.parse('{"__proto__": {"polluted": true}, "constructor": 1}')],
  ['bytes', new Uint8Array([0, 1, 255])],
  ['a class instance, as plain data', new Money(5n, 'EUR'), { amount: 5n, currency: 'EUR' }],
  ['one object in two places', { a: shared, b: shared }],
  ['an error with its cause', new Error('outer', { cause: new RangeError('inner') })],
  ['a text of 10,000 quotes', `'"\\;--`.repeat(2_000)],
];

describe('payloads', () => {
  let database: TestDatabase;
  beforeAll(async () => {
    database = await createTestDatabase();
  });
  afterEach(closeApplications);
  afterAll(() => database.drop());

  const boot = async () =>
    (await startApplication(database.url, [EchoWorkflow], { worker: { suspendAfter: 5 }, defaults: { maxPayloadBytes: 65_536 } })).client;

  it('have the same value in the first pass, on replay, in the result and in the description of the run', async () => {
    // The runs suspend meanwhile, so that another pass replays the step.
    sleepMs = seconds(1.5);
    const client = await boot();
    const check = async ([, value, stored = value]: (typeof values)[number]): Promise<void> => {
      const handle = await client.start(EchoWorkflow, value);
      const result = await handle.result();
      const passes = seen.get(handle.runId)!;
      expect(passes.length).toBeGreaterThanOrEqual(2);
      for (const each of [...passes, result]) expect(each).toStrictEqual(stored);
      const [step] = await handle.steps();
      expect(step!.output).toStrictEqual(stored);
      const description = await handle.describe();
      expect(description.input).toStrictEqual(stored);
      expect(description.output).toStrictEqual(stored);
    };
    await Promise.all(values.map(check));
    sleepMs = 20;
    expect(({} as { polluted?: boolean }).polluted).toBeUndefined();
  });

  it('are decoded in the first pass too: the workflow gets a copy of what the step returned', async () => {
    const client = await boot();
    const handle = await client.start(EchoWorkflow, shared);
    await handle.result();
    const [first] = seen.get(handle.runId)!;
    expect(first).toEqual(shared);
    expect(first).not.toBe(shared);
  });

  it('keep an object that is in two places as one object', async () => {
    const client = await boot();
    const { a, b } = (await client.execute(EchoWorkflow, { a: shared, b: shared })) as { a: object; b: object };
    expect(a).toBe(b);
  });

  it('are readable in SQL when they are plain JSON', async () => {
    const client = await boot();
    const { runId } = await client.start(EchoWorkflow, { order: { id: 7, items: ['apple'] } });
    const [row] = await database.query<{ item: string }>(
      `SELECT input #>> '{order,items,0}' AS item FROM durable.workflow_runs WHERE id = $1`,
      [runId],
    );
    expect(row!.item).toBe('apple');
  });

  it.each<[string, unknown, string]>([
    ['a function', { a: [() => 1] }, 'input.a[0]'],
    ['a symbol', Symbol('s'), 'input'],
    [
      'a cycle',
      (() => {
        const o: Record<string, unknown> = {};
        o['self'] = o;
        return o;
      })(),
      'input.self',
    ],
    ['a promise', { p: Promise.resolve(1) }, 'input.p'],
  ])('are refused as input, with the path, when they contain %s', async (_, value, path) => {
    const client = await boot();
    const before = await database.query('SELECT count(*) FROM durable.workflow_runs');
    const error = await client.start(EchoWorkflow, value).catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(SerializationError);
    expect(error).toMatchObject({ path, code: 'SERIALIZATION' });
    expect(await database.query('SELECT count(*) FROM durable.workflow_runs')).toEqual(before);
  });

  it('are refused as input above maxPayloadBytes, which counts bytes and not characters', async () => {
    const client = await boot();
    await expect(client.execute(EchoWorkflow, 'x'.repeat(65_534))).resolves.toHaveLength(65_534);
    const error = await client.start(EchoWorkflow, 'é'.repeat(40_000), { id: 'large' }).catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(PayloadTooLargeError);
    expect(error).toMatchObject({ subject: 'input', bytes: 80_002, maxBytes: 65_536 });
    await expect(client.status('large')).rejects.toMatchObject({ code: 'RUN_NOT_FOUND' });
  });
});
