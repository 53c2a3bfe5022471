import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';

import { anyValue, isSame } from '../../../test/support/any-value.js';
import { Arguments } from './arguments.js';
import { serializer } from './types.js';

const MAX = 1 << 20;
const of = (...given: unknown[]): Arguments => Arguments.of(given, MAX);
const fingerprint = (...given: unknown[]): number | null => of(...given).fingerprint;

function sparse(): unknown[] {
  const array: unknown[] = [];
  array[1] = 1;
  return array;
}

class Money {
  constructor(readonly cents: number) {}
}
class Price {
  constructor(readonly cents: number) {}
}
serializer.register(Price, { name: 'arguments.Price', serialize: ({ cents }) => cents, deserialize: (cents: number) => new Price(cents) });
class SubPrice extends Price {}

describe('the fingerprint of arguments', () => {
  it('is equal for equal arguments and differs for others', () => {
    const values = (): unknown[][] => [
      [],
      [0],
      [1],
      ['1'],
      [null],
      [undefined],
      [true],
      [false],
      [-0],
      [0.5],
      [Number.NaN],
      [1n],
      [''],
      ['a', 'b'],
      ['b', 'a'],
      ['ab'],
      [[]],
      [{}],
      [[[]]],
      [{ a: 1 }],
      [{ a: 2 }],
      [{ b: 1 }],
      [{ a: 1, b: 2 }],
      [{ a: 2, b: 1 }],
      [[1, 2]],
      [[2, 1]],
      [1, 2],
      [new Date(1)],
      [new Date(2)],
      [new Map([[1, 2]])],
      [new Set([1, 2])],
      [Buffer.from('a')],
      [Buffer.from('b')],
      [new Error('a')],
      [new Error('b')],
      [new TypeError('a')],
      [sparse()],
      [[undefined, 1]],
    ];
    const prints = values().map((each) => fingerprint(...each));
    expect(new Set(prints).size).toBe(prints.length);
    expect(values().map((each) => fingerprint(...each))).toEqual(prints);
  });

  it('is equal for any value and its copy', () => {
    fc.assert(
      fc.property(anyValue, anyValue, (a, b) => {
        if (isSame(a, b)) expect(fingerprint(a)).toBe(fingerprint(b));
        expect(fingerprint(a)).toBe(fingerprint(of(a).fresh()[0]));
      }),
      { numRuns: 300 },
    );
  });

  it('ignores the order of keys, but not the order of Maps, Sets and arrays', () => {
    expect(fingerprint({ a: 1, b: { c: 2, d: 3 } })).toBe(fingerprint({ b: { d: 3, c: 2 }, a: 1 }));
    expect(fingerprint(new Map(Object.entries({ a: 1, b: 2 })))).not.toBe(fingerprint(new Map(Object.entries({ b: 2, a: 1 }))));
    expect(fingerprint(new Set([1, 2]))).not.toBe(fingerprint(new Set([2, 1])));
  });

  const moved: [string, (error: Error) => unknown][] = [
    ['an error', (error) => error],
    ['an error in an object', (error) => ({ error })],
    ['a cause', (error) => new Error('outer', { cause: error })],
    ['an AggregateError', (error) => new AggregateError([error], 'all')],
    ['an error as property of another', (error) => Object.assign(new Error('outer'), { original: error })],
    ['the stack of an error', ({ stack }) => stack],
    ['the stack of an error in an object', ({ stack, message }) => ({ stack, message })],
    ['the stack of an error within a text', ({ stack }) => `it failed: ${stack}\nand that is all`],
    ['the reason of an AbortSignal', (error) => AbortSignal.abort(error).reason as unknown],
    ['an error in a Map', (error) => new Map([['a', error]])],
    ['an instance that holds an error', (error) => Object.assign(new Money(1), { error })],
  ];
  it.each(moved)('ignores where an error was created: %s', (_, wrap) => {
    const here = new Error('boom');
    const there = new Error('boom');
    there.stack = here
      .stack!.replace(/:\d+:\d+/g, ':1:1')
      .replaceAll('/src/', '/releases/2/')
      .concat('\n    at another (frame.js:1:1)');
    expect(fingerprint(wrap(there))).toBe(fingerprint(wrap(here)));
    expect(fingerprint(wrap(here))).not.toBeNull();
    expect(fingerprint(wrap(new Error('bang')))).not.toBe(fingerprint(wrap(here)));
  });

  it('depends on the fields of an error', () => {
    const base = (): Error => new Error('boom');
    const variants = [
      base(),
      new RangeError('boom'),
      Object.assign(base(), { name: 'Boom' }),
      Object.assign(base(), { code: 'E1' }),
      Object.assign(base(), { code: 'E2' }),
      Object.assign(base(), { status: 500 }),
      new Error('boom', { cause: base() }),
      new Error('boom', { cause: new Error('other') }),
      new AggregateError([base()], 'boom'),
      new AggregateError([base(), base()], 'boom'),
      new DOMException('boom', 'AbortError'),
      new DOMException('boom', 'TimeoutError'),
    ];
    expect(new Set(variants.map((error) => fingerprint(error))).size).toBe(variants.length);
  });

  it('is null for arguments that cannot be encoded or are too large', () => {
    const cycle: { self?: unknown } = {};
    cycle.self = cycle;
    for (const value of [() => 1, Symbol('s'), cycle, Promise.resolve(), Buffer.alloc(MAX)]) expect(fingerprint(1, value)).toBeNull();
  });
});

describe('an argument of a step', () => {
  it('is copied for each use, and the copy equals the original', () => {
    fc.assert(
      fc.property(anyValue, (value) => {
        const given = of({ value });
        const [first] = given.fresh() as [{ value: unknown }];
        const [second] = given.fresh() as [{ value: unknown }];
        if (!given.hasCopies) return;
        expect(isSame(first.value, value)).toBe(true);
        expect(first).not.toBe(second);
        expect(given.changed([first])).toBeUndefined();
      }),
      { numRuns: 500 },
    );
  });

  it.each<[string, unknown]>([
    ['an object', { a: { b: [1] } }],
    ['an array', [1, [2]]],
    ['a sparse array', sparse()],
    ['a Date', new Date(1)],
    ['a Map', new Map([['a', { b: 1 }]])],
    ['a Set', new Set([{ b: 1 }])],
    ['a Buffer', Buffer.from('a')],
    ['a typed array', new Uint16Array([1])],
    ['a RegExp', /x/g],
    ['an instance of a registered class', new Price(1)],
    ['an object that holds an instance of a registered class', { price: new Price(1) }],
  ])('is copied: %s', (_, value) => {
    const given = of(value);
    const [copy] = given.fresh();
    expect(copy).not.toBe(value);
    expect(copy).toStrictEqual(value);
    expect(given.hasOriginals).toBe(false);
  });

  const match = /a/.exec('a')!;
  it.each<[string, unknown]>([
    ['an instance of another class', new Money(1)],
    ['an object that holds an instance of another class', { money: new Money(1) }],
    ['an instance of a subclass of a registered class', new SubPrice(1)],
    ['an Error', new Error('x')],
    ['an array with properties', match],
    ['an instance of a subclass of Array', new (class extends Array {})()],
    ['an instance of a subclass of Map', new (class extends Map {})()],
    ['a proxy', new Proxy({}, {})],
    ['an object without a prototype', Object.create(null)],
    ['an object with a toJSON', { toJSON: () => 1 }],
    ['an object with a symbol as key', { [Symbol('s')]: 1 }],
    ['a view of shared memory', new Uint8Array(new SharedArrayBuffer(2))],
  ])('is passed on as it is: %s', (_, value) => {
    const given = of(value);
    expect(given.fresh()[0]).toBe(value);
    expect(given.hasOriginals).toBe(true);
  });

  it('is copied beside arguments that cannot be encoded', () => {
    const shared = { n: 1 };
    const order = { a: shared, b: shared };
    const log = (): void => undefined;
    const given = of(order, log, new Price(2), { price: new Price(3) });
    const [copy, same, price, priced] = given.fresh() as [typeof order, unknown, Price, { price: Price }];
    expect(copy).toEqual(order);
    expect(copy).not.toBe(order);
    expect(copy.a).toBe(copy.b);
    expect(same).toBe(log);
    expect(price).toEqual(new Price(2));
    expect(priced.price).toEqual(new Price(3));
    expect(given.changed([{ ...copy, c: 1 }, log, price, priced])).toEqual({ index: 0, was: 'a copy' });
  });

  it('shares objects with other arguments as the originals do', () => {
    const shared = { n: 1 };
    const [a, b] = of(shared, [shared]).fresh() as [object, [object]];
    expect(a).toBe(b[0]);
    // An entity that a plain object holds would lose its class.
    const entity = new Money(1);
    expect(of(entity, { entity }).fresh()).toEqual([entity, { entity }]);
    expect((of(entity, { entity }).fresh()[1] as { entity: Money }).entity).toBe(entity);
  });

  it('keeps the state that it had when the call was made', () => {
    const order = { items: [1] };
    const given = of(order);
    order.items.push(2);
    expect(given.fresh()).toEqual([{ items: [1] }]);
  });

  it('is reported as changed when its copy or its original was changed', () => {
    const money: { cents: number; self?: unknown } = new Money(1);
    const given = of('a', money, { b: 1 });
    expect(given.changed(given.fresh())).toBeUndefined();
    expect(given.changed(['a', money, { b: 2 }])).toEqual({ index: 2, was: 'a copy' });
    money.cents = 2;
    expect(given.changed(given.fresh())).toEqual({ index: 1, was: 'the original' });
    money.cents = 1;
    money.self = money;
    expect(given.changed(given.fresh())).toEqual({ index: 1, was: 'the original' });
  });

  it('is passed on without any copy when no argument is an object', () => {
    const values = ['a', 1, true, null, undefined];
    const given = Arguments.of(values, MAX);
    expect(given.fresh()).toBe(values);
    expect(given.hasCopies || given.hasOriginals).toBe(false);
  });
});
