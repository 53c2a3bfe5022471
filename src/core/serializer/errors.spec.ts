import { describe, expect, it } from '@jest/globals';

import {
  InvalidInputError,
  NonRetryableError,
  RetryableError,
  SerializationError,
  StepFailedError,
  WorkflowError,
  WorkflowFailedError,
} from '../errors/index.js';
import { decodeError, encode, encodeError } from './index.js';

interface Stored {
  name: string;
  message: string;
  stack?: string;
  code?: unknown;
  cause?: Stored;
  errors?: Stored[];
  data?: Record<string, unknown>;
}

const stored = (error: unknown): Stored => JSON.parse(encodeError(error)) as Stored;
const roundTrip = (error: unknown): Error & Record<string, unknown> => decodeError(encodeError(error)) as Error & Record<string, unknown>;

class CardDeclined extends Error {
  constructor(readonly card: string) {
    super(`card ${card} declined`);
  }
}

describe('encodeError', () => {
  it('writes plain fields that SQL can read', () => {
    const error = Object.assign(new TypeError('outer', { cause: new Error('inner') }), { code: 'E1', status: 402 });
    expect(stored(error)).toEqual({
      name: 'TypeError',
      message: 'outer',
      stack: error.stack,
      code: 'E1',
      cause: expect.objectContaining({ name: 'Error', message: 'inner' }),
      data: { status: 402 },
    });
  });

  it('bounds a huge message and keeps the frames of its stack', () => {
    const text = encodeError(new Error('x'.repeat(1_000_000)));
    const { message, stack } = JSON.parse(text) as Stored;
    expect(message.length).toBeLessThan(65 * 1024);
    expect(message).toContain('1000000 characters');
    expect(stack!.length).toBeLessThan(17 * 1024);
    expect(stack).toContain('errors.spec');
  });

  it('bounds the stack', () => {
    const error = new Error('x');
    error.stack = 'Error: x\n'.repeat(10_000);
    expect(stored(error).stack!.length).toBeLessThan(17 * 1024);
  });

  it('splits no character when it shortens a message', () => {
    expect(encodeError(new Error('😀'.repeat(40_000)))).not.toContain('$durable:');
    expect(encodeError(new Error(`x${'😀'.repeat(40_000)}`))).not.toContain('$durable:');
  });

  it('ends a chain of causes after 8', () => {
    let error = new Error('0');
    for (let level = 1; level < 100; level++) error = new Error(String(level), { cause: error });
    let depth = 0;
    for (let record: Stored | undefined = stored(error); record; record = record.cause) depth++;
    expect(depth).toBe(8);
  });

  it('writes a short text for errors with large properties and members', () => {
    const list = (depth: number): unknown[] =>
      Array.from({ length: 200 }, () => (depth ? new AggregateError(list(depth - 1), 'x'.repeat(1_000)) : 'x'.repeat(9_000)));
    const error = Object.assign(new AggregateError(list(1), 'all'), {
      body: Buffer.alloc(1_000_000),
      rows: Array.from({ length: 10_000 }, (_, id) => ({ id })),
    });
    expect(encodeError(error).length).toBeLessThan(400_000);
    expect(encodeError('x'.repeat(1_000_000)).length).toBeLessThan(100_000);
    expect(encodeError(new Error('x', { cause: 'x'.repeat(1_000_000) })).length).toBeLessThan(100_000);
    expect(encodeError(Object.assign(new Error('x'), { code: 'x'.repeat(1_000_000) })).length).toBeLessThan(100_000);
  });

  it('leaves out cycles and properties that cannot be stored', () => {
    const error = Object.assign(new Error('x'), { self: {}, retry: () => 1, ok: [1] });
    Object.assign(error, { self: { error }, cause: error });
    Object.defineProperty(error, 'bad', {
      get: () => {
        throw new Error('no');
      },
      enumerable: true,
    });
    const { cause, data } = stored(error);
    expect(cause).toBeUndefined();
    expect(data).toMatchObject({ ok: [1] });
    expect(Object.keys(data!)).not.toContain('self');
    expect(Object.keys(data!)).not.toContain('retry');
  });

  it('stores a property that looks like a tag, and odd keys, as data', () => {
    const error = Object.assign(new Error('x'), JSON.parse('{"$durable":"date","__proto__":{"a":1},"lineage":["WorkflowError"]}'));
    const copy = roundTrip(error);
    expect(copy.$durable).toBe('date');
    expect(Object.getPrototypeOf(copy)).toBe(Error.prototype);
    expect(copy).not.toBeInstanceOf(WorkflowError);
  });

  const revoked = Proxy.revocable({}, {});
  revoked.revoke();
  const hostile = new Proxy(new Error('x'), {
    get() {
      throw new Error('no');
    },
    ownKeys() {
      throw new Error('no');
    },
  });
  it.each<[string, unknown]>([
    ['undefined', undefined],
    ['null', null],
    ['a symbol', Symbol('s')],
    ['a function', () => 1],
    ['a BigInt', 5n],
    [
      'an object with getters that throw',
      {
        get message(): never {
          throw new Error('no');
        },
      },
    ],
    ['a revoked proxy', revoked.proxy],
    ['a hostile proxy', hostile],
    ['an Error whose name is not a string', Object.assign(new Error('x'), { name: 5, stack: {}, message: null })],
    ['a frozen Error', Object.freeze(new Error('x'))],
    ['an object made by Object.create(Error.prototype)', Object.create(Error.prototype)],
    ['an Error whose message has NUL and a lone surrogate', new Error('a\0b\ud800')],
  ])('never throws: %s', (_, thrown) => {
    const error = roundTrip(thrown);
    expect(error).toBeInstanceOf(Error);
    expect(typeof error.name).toBe('string');
    expect(typeof error.message).toBe('string');
    expect(typeof error.stack).toBe('string');
    expect(encodeError(thrown)).not.toContain('\\u0000');
  });
});

describe('decodeError', () => {
  it('restores own properties, code and stack', () => {
    const error = Object.assign(new CardDeclined('4711'), { code: 42, at: new Date(1), tried: new Map([['a', 1n]]) });
    const copy = roundTrip(error);
    expect(copy).toMatchObject({
      card: '4711',
      code: 42,
      at: new Date(1),
      tried: new Map([['a', 1n]]),
      message: error.message,
      stack: error.stack,
    });
    expect(Object.keys(copy).sort()).toEqual(['at', 'card', 'code', 'tried']);
  });

  it('names an error by its class when the class sets no name', () => {
    expect(roundTrip(new CardDeclined('1')).name).toBe('CardDeclined');
    expect(roundTrip(Object.assign(new CardDeclined('1'), { name: 'Error' })).name).toBe('Error');
    expect(StepFailedError.is(roundTrip(new StepFailedError('charge', 1, new CardDeclined('1'))), CardDeclined)).toBe(true);
  });

  it('restores a StepFailedError whose is() refuses an argument that is not a class', () => {
    const error = new StepFailedError('charge', 1, new CardDeclined('1'));
    expect(() => StepFailedError.is(error, undefined as never)).toThrow(InvalidInputError);
  });

  it('restores an Error of another realm', () => {
    const error = roundTrip(new DOMException('stop', 'AbortError'));
    expect(error).toMatchObject({ name: 'AbortError', message: 'stop', code: 20 });
  });

  it('restores the class of a StepFailedError, with its properties and its cause', () => {
    const copy = roundTrip(new StepFailedError('charge#2', 3, new CardDeclined('1')));
    expect(copy).toBeInstanceOf(StepFailedError);
    expect(copy).toBeInstanceOf(WorkflowError);
    expect(copy).not.toBeInstanceOf(NonRetryableError);
    expect(copy).toMatchObject({ name: 'StepFailedError', code: 'STEP_FAILED', stepKey: 'charge#2', attempts: 3 });
    expect(Object.getOwnPropertyDescriptor(copy, 'name')?.enumerable).toBe(false);
    expect(copy.cause).toMatchObject({ name: 'CardDeclined', card: '1' });
    expect(roundTrip(roundTrip(copy))).toBeInstanceOf(StepFailedError);
  });

  it('restores the class of other errors of this package, also for subclasses and causes', () => {
    class StolenCard extends NonRetryableError {}
    const copy = roundTrip(new WorkflowFailedError('r1', new StolenCard('stolen')));
    expect(copy).toBeInstanceOf(WorkflowFailedError);
    expect(copy.cause).toBeInstanceOf(NonRetryableError);
    expect(copy.cause).toMatchObject({ name: 'StolenCard', code: 'NON_RETRYABLE' });
    expect(roundTrip(new RetryableError('x', { retryAfter: new Date(7) })).retryAfter).toEqual(new Date(7));
    expect(roundTrip(new SerializationError('input.a', 'no')).path).toBe('input.a');
  });

  it.each<[unknown, string, string]>([
    ['boom', 'NonError', 'boom'],
    [undefined, 'NonError', 'undefined was thrown'],
    [5n, 'NonError', '5 was thrown'],
    [{ status: 500 }, 'NonError', 'an object that is not an Error was thrown'],
    [{ name: 'GrpcError', message: 'gone', code: 5 }, 'GrpcError', 'gone'],
  ])('restores a thrown %p as cause and message', (thrown, name, message) => {
    const error = roundTrip(thrown);
    expect(error).toMatchObject({ name, message });
    expect('cause' in error).toBe(true);
    expect(error.cause).toStrictEqual(thrown);
  });

  it('keeps the error when a newer version has stored an unknown value in it', () => {
    const error = decodeError('{"name":"X","message":"m","data":{"a":{"$durable":"temporal"}}}');
    expect(error).toMatchObject({ name: 'X', message: 'm', stack: 'X: m' });
  });

  it('reads an error that encode wrote, and text that is not a record', () => {
    expect(decodeError(encode(new TypeError('x'), 'e'))).toBeInstanceOf(TypeError);
    expect(decodeError('"lost"').message).toContain('lost');
  });
});
