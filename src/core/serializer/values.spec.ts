import { describe, expect, it } from '@jest/globals';

import { decode, encode } from './index.js';

const roundTrip = (value: unknown): unknown => decode(encode(value, 'input'));

describe('plain values', () => {
  it.each([
    [{ a: 1, b: 'x', c: [true, null] }, '{"a":1,"b":"x","c":[true,null]}'],
    [[], '[]'],
    [{}, '{}'],
    ['text', '"text"'],
    [0, '0'],
    [-1.5e300, '-1.5e+300'],
    [null, 'null'],
    [false, 'false'],
  ])('%j is stored as plain JSON', (value, text) => {
    expect(encode(value, 'input')).toBe(text);
    expect(decode(text)).toStrictEqual(value);
  });

  it('are stored as plain JSON beside rich values', () => {
    const stored = JSON.parse(encode({ id: 'o1', at: new Date(0), big: 10n }, 'input')) as Record<string, unknown>;
    expect(stored).toEqual({
      id: 'o1',
      at: { $durable: 'date', value: '1970-01-01T00:00:00.000Z' },
      big: { $durable: 'bigint', value: '10' },
    });
  });
});

describe('rich values', () => {
  const expression = /a\/b/giu;
  it.each<[string, unknown]>([
    ['undefined', undefined],
    ['NaN', Number.NaN],
    ['Infinity', Number.POSITIVE_INFINITY],
    ['-Infinity', Number.NEGATIVE_INFINITY],
    ['-0', -0],
    ['BigInt', -(2n ** 80n)],
    ['Date', new Date('2026-02-03T04:05:06.789Z')],
    ['a Date before the year 0', new Date(-8.64e15)],
    ['RegExp', expression],
    ['URL', new URL('https://user:pw@example.com/a?b=c#d')],
    [
      'Map',
      new Map<unknown, unknown>([
        ['a', 1],
        [{ k: 1 }, new Map([[1, undefined]])],
      ]),
    ],
    ['Set', new Set([1, 'a', undefined, { x: Number.NaN }])],
    ['Uint8Array', new Uint8Array([1, 2, 255])],
    ['Float64Array', new Float64Array([-0, Number.NaN, 1.5])],
    ['BigInt64Array', new BigInt64Array([-1n, 2n])],
    ['a part of an ArrayBuffer', new Uint16Array(new Uint16Array([1, 2, 3, 4]).buffer, 2, 2)],
    ['ArrayBuffer', new Uint8Array([9, 8]).buffer],
    ['DataView', new DataView(new Uint8Array([7, 6]).buffer)],
    ['Buffer', Buffer.from('hello')],
  ])('are decoded as they were encoded: %s', (_, value) => {
    expect(roundTrip(value)).toStrictEqual(value);
    expect(roundTrip({ value })).toStrictEqual({ value });
    expect(roundTrip([value, 1])).toStrictEqual([value, 1]);
    expect(roundTrip(new Map([['k', value]]))).toStrictEqual(new Map([['k', value]]));
  });

  it('are decoded as they were encoded: an invalid Date', () => {
    const { at } = roundTrip({ at: new Date(Number.NaN) }) as { at: Date };
    expect(at).toBeInstanceOf(Date);
    expect(at.getTime()).toBeNaN();
  });

  it('keep the class of a Buffer and the lastIndex of a RegExp', () => {
    const sticky = /x/y;
    sticky.lastIndex = 3;
    expect(Buffer.isBuffer(roundTrip(Buffer.alloc(3)))).toBe(true);
    expect(Buffer.isBuffer(roundTrip(new Uint8Array(3)))).toBe(false);
    expect((roundTrip(sticky) as RegExp).lastIndex).toBe(3);
  });

  it('keep the holes of sparse arrays', () => {
    const holes: unknown[] = [1, undefined];
    holes[4] = 3;
    holes.length = 6;
    const copy = roundTrip({ holes, shared: [holes] }) as { holes: unknown[]; shared: [unknown[]] };
    expect(Object.keys(copy.holes)).toEqual(['0', '1', '4']);
    expect(copy.holes).toStrictEqual(holes);
    expect(copy.holes).toHaveLength(6);
    expect(copy.shared[0]).toBe(copy.holes);
    expect(roundTrip([{ $durable: 'hole' }])).toStrictEqual([{ $durable: 'hole' }]);
  });

  it('are stored as primitives when they are boxed primitives', () => {
    expect(roundTrip({ a: Object('x'), b: Object(Number.NaN), c: Object(5n) })).toStrictEqual({ a: 'x', b: Number.NaN, c: 5n });
  });

  it('keep the properties of an object without a prototype', () => {
    expect(roundTrip(Object.assign(Object.create(null) as object, { a: 1n }))).toEqual({ a: 1n });
  });

  it('lose their symbol keys', () => {
    expect(roundTrip({ a: 1, [Symbol('s')]: 2 })).toStrictEqual({ a: 1 });
  });
});

describe('errors in values', () => {
  it('keep name, message, stack, code, cause and other properties', () => {
    const cause = new RangeError('inner');
    const error = Object.assign(new TypeError('outer', { cause }), { code: 'E_X', at: new Date(1), __proto: 1 });
    const copy = roundTrip({ error }) as { error: typeof error };
    expect(copy.error).toBeInstanceOf(TypeError);
    expect(copy.error).toMatchObject({ name: 'TypeError', message: 'outer', stack: error.stack, code: 'E_X', at: new Date(1) });
    expect(copy.error.cause).toBeInstanceOf(RangeError);
    expect((copy.error.cause as Error).stack).toBe(cause.stack);
    expect(Object.keys(copy.error).sort()).toEqual(['__proto', 'at', 'code']);
  });

  it('keep the errors of an AggregateError', () => {
    const copy = roundTrip(new AggregateError([new Error('a'), 'b'], 'all')) as AggregateError;
    expect(copy).toBeInstanceOf(AggregateError);
    expect(copy.errors).toEqual([new Error('a'), 'b']);
    expect(Object.keys(copy)).toEqual([]);
  });

  it('lose only the properties that cannot be stored, and keep objects that such a property shares with another', () => {
    const shared = { n: 1 };
    const error = Object.assign(new Error('x'), { socket: { shared, open: () => 1 }, shared });
    const copy = roundTrip([error, shared]) as [typeof error, typeof shared];
    expect(Object.keys(copy[0])).toEqual(['shared']);
    expect(copy[0].shared).toBe(copy[1]);
  });
});

describe('keys with a meaning for JavaScript or for the serializer', () => {
  it.each([
    '{"__proto__":{"polluted":true}}',
    '{"__proto__":null,"a":1}',
    '{"constructor":{"prototype":{"polluted":1}}}',
    '{"toJSON":"x"}',
  ])('are restored as data: %s', (text) => {
    const value = { data: JSON.parse(text) as object, rich: new Date(0) };
    const copy = roundTrip(value) as typeof value;
    expect(encode(copy, 'input')).toBe(encode(value, 'input'));
    expect(Object.getOwnPropertyNames(copy.data)).toEqual(Object.getOwnPropertyNames(value.data));
    expect(Object.getPrototypeOf(copy.data)).toBe(Object.prototype);
    expect(({} as { polluted?: unknown }).polluted).toBeUndefined();
  });

  it.each([
    { $durable: 'date', value: 'not a date' },
    { $durable: 'ref', path: [] },
    { $durable: undefined },
    { $durable: { $durable: 'object', value: 1n } },
    { $durable: 'undefined', deep: [{ $durable: 'ref', path: ['x'] }] },
  ])('are restored as data in an object that looks like a tag: %j', (value) => {
    expect(roundTrip(value)).toStrictEqual(value);
    expect(roundTrip([value, value, 5n])).toStrictEqual([value, value, 5n]);
  });

  it('are not written when they are inherited from an extended Object.prototype', () => {
    const value = { a: 1n, b: { c: undefined } };
    // oxlint-disable-next-line no-extend-native -- what a careless library does
    Object.defineProperty(Object.prototype, 'extra', { value: () => 1, enumerable: true, configurable: true });
    try {
      expect(encode(value, 'input')).not.toContain('extra');
      expect(Object.keys(roundTrip(value) as object)).toEqual(['a', 'b']);
    } finally {
      delete (Object.prototype as { extra?: unknown }).extra;
    }
  });
});

describe('class instances', () => {
  class Item {
    readonly #secret = 1;
    constructor(
      readonly sku: string,
      readonly added: Date,
    ) {}
    get upper(): string {
      return this.sku + this.#secret;
    }
  }

  it('become plain data', () => {
    const copy = roundTrip([new Item('a', new Date(5))]) as [object];
    expect(copy).toStrictEqual([{ sku: 'a', added: new Date(5) }]);
    expect(Object.getPrototypeOf(copy[0])).toBe(Object.prototype);
  });

  it('are stored as the result of their toJSON, which may be rich', () => {
    const money = { toJSON: (key: string) => ({ key, amount: 5n }) };
    class Decimal {
      toJSON(): string {
        return '1.50';
      }
    }
    class Itself {
      readonly a = 1;
      toJSON(): this {
        return this;
      }
    }
    const decimal = new Decimal();
    expect(roundTrip({ money, a: decimal, b: decimal, c: new Itself() })).toStrictEqual({
      money: { key: 'money', amount: 5n },
      a: '1.50',
      b: '1.50',
      c: { a: 1 },
    });
  });

  it('are encoded with one read of each getter', () => {
    let reads = 0;
    const value = {
      get n(): number {
        return ++reads;
      },
    };
    expect(roundTrip({ value })).toStrictEqual({ value: { n: 1 } });
    expect(reads).toBe(1);
  });
});
