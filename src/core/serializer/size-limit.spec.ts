import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';

import { anyValue } from '../../../test/support/any-value.js';
import { PayloadTooLargeError, SerializationError } from '../errors/index.js';
import { encode, encodeError } from './index.js';

const LIMIT = 4 << 20;

/** Makes a value that generates its objects on demand, and counts how many were read. */
function endless(make: (read: () => void) => object): { value: object; reads: () => number } {
  let count = 0;
  return { value: make(() => void count++), reads: () => count };
}

describe('the limit of a payload', () => {
  it('refuses no value whose text fits into the limit', () => {
    fc.assert(
      fc.property(anyValue, (value) => {
        const text = encode(value, 'input');
        expect(encode(value, 'input', Buffer.byteLength(text))).toBe(text);
      }),
      { numRuns: 300 },
    );
  });

  it.each<[string, () => unknown]>([
    ['a Buffer', () => Buffer.alloc(LIMIT)],
    ['a typed array', () => new Float64Array(LIMIT / 8)],
    ['an ArrayBuffer', () => new ArrayBuffer(LIMIT)],
    ['a text', () => 'x'.repeat(LIMIT)],
    ['a text in an object', () => ({ a: { text: 'x'.repeat(LIMIT) } })],
    ['a long key', () => ({ ['x'.repeat(LIMIT)]: 1 })],
    ['a long key of a Map', () => new Map([['x'.repeat(LIMIT), 1]])],
    ['a text in a Set', () => new Set(['x'.repeat(LIMIT)])],
    ['the result of toJSON', () => ({ toJSON: () => 'x'.repeat(LIMIT) })],
    ['one text from toJSON, many times', () => times(100, { toJSON: () => 'x'.repeat(LIMIT / 50) })],
    ['the message of an error', () => new Error('x'.repeat(LIMIT))],
    ['a property of an error', () => Object.assign(new Error('x'), { body: Buffer.alloc(LIMIT) })],
    ['many numbers', () => times(LIMIT, 1)],
    ['many times undefined', () => times(LIMIT / 16, undefined)],
    ['one object in very many places', () => times(LIMIT / 16, {})],
  ])('refuses a value that is too large: %s', (_, make) => {
    const error = thrownBy(() => encode(make(), 'output of step "a"', LIMIT));
    expect(error).toBeInstanceOf(PayloadTooLargeError);
    expect(error).toMatchObject({ subject: 'output of step "a"', maxBytes: LIMIT });
    expect((error as PayloadTooLargeError).bytes).toBeGreaterThan(LIMIT);
  });

  it('refuses a sparse array without reading its elements', () => {
    const { value, reads } = endless((read) => {
      const sparse: unknown[] = [];
      sparse[9_999_999] = 1;
      return new Proxy(sparse, { get: (target, key) => (read(), Reflect.get(target, key) as unknown), has: () => (read(), false) });
    });
    expect(() => encode(value, 'output', LIMIT)).toThrow(PayloadTooLargeError);
    expect(reads()).toBeLessThan(10);
  });

  it('reads no more of a proxy than fits', () => {
    const keys = Array.from({ length: 1_000_000 }, (_, index) => `k${index}`);
    const { value, reads } = endless(
      (read) =>
        new Proxy(
          {},
          {
            ownKeys: () => keys,
            getOwnPropertyDescriptor: () => ({ enumerable: true, configurable: true, value: 1 }),
            get: () => (read(), 'x'.repeat(100)),
          },
        ),
    );
    expect(() => encode({ value }, 'output', LIMIT)).toThrow(PayloadTooLargeError);
    expect(reads()).toBeLessThan(LIMIT / 100);
  });

  it('stops encoding a tree that generates itself as soon as the tree is too large', () => {
    const { value, reads } = endless((read) => {
      const grown = (depth: number): object => (depth === 0 ? { a: 1 } : { toJSON: () => (read(), [grown(depth - 1), grown(depth - 1)]) });
      return grown(40);
    });
    expect(() => encode(value, 'output', 100_000)).toThrow(PayloadTooLargeError);
    expect(reads()).toBeLessThan(100_000);
  });

  it('leaves a large property of a thrown error out without reading its elements', () => {
    let reads = 0;
    const list = new Proxy([], { get: (_, key) => (key === 'length' ? 2 ** 31 : (reads++, 'x')), has: () => true });
    const stored = encodeError(Object.assign(new Error('boom'), { list, buffer: Buffer.alloc(200 << 20), status: 500 }));
    expect(JSON.parse(stored)).toMatchObject({ message: 'boom', data: { status: 500 } });
    expect(stored.length).toBeLessThan(100_000);
    expect(reads).toBeLessThan(10);
  });

  it('refuses an array of more than ten million elements even without a limit', () => {
    expect(() => encode(Array.from({ length: 10_000_001 }), 'input')).toThrow(SerializationError);
  });
});

function times(length: number, value: unknown): unknown[] {
  return Array.from({ length }, () => value);
}

function thrownBy(code: () => unknown): unknown {
  try {
    code();
  } catch (error) {
    return error;
  }
  return undefined;
}
