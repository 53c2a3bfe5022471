import { describe, expect, it } from '@jest/globals';

import { decode, encode } from './index.js';

const roundTrip = (value: unknown): unknown => decode(encode(value, 'input'));

describe('shared objects', () => {
  it.each<[string, object]>([
    ['object', { a: 1 }],
    ['empty array', []],
    ['Date', new Date(1)],
    ['Map', new Map([['a', {}]])],
    ['Buffer', Buffer.from('x')],
    ['Error', new Error('x')],
    ['an object with our tag as its key', { $durable: 'x' }],
  ])('are decoded as one object: %s', (_, shared) => {
    const copy = roundTrip({ a: shared, b: [shared], c: new Map([[shared, new Set([shared])]]) }) as {
      a: object;
      b: [object];
      c: Map<object, Set<object>>;
    };
    expect(copy.a).toEqual(shared);
    expect(copy.b[0]).toBe(copy.a);
    expect([...copy.c.keys()][0]).toBe(copy.a);
    expect(copy.c.get(copy.a)?.has(copy.a)).toBe(true);
  });

  it('are stored in full at their first place, and as references elsewhere', () => {
    const address = { city: 'Bonn' };
    expect(encode({ ship: address, bill: address }, 'input')).toBe('{"ship":{"city":"Bonn"},"bill":{"$durable":"ref","path":["ship"]}}');
  });

  it('are decoded as one object under escaped keys, and in any order of the keys in the text', () => {
    const shared = { a: 1 };
    const copy = roundTrip({ 'a\0': { $durable: shared }, b: shared }) as Record<string, { $durable?: unknown }>;
    expect(copy['a\0']?.$durable).toBe(copy.b);
    const early = decode('{"b":{"$durable":"ref","path":["a"]},"a":{"x":{"$durable":"bigint","value":"1"}}}') as { a: object; b: object };
    expect(early.a).toStrictEqual({ x: 1n });
    expect(early.b).toBe(early.a);
  });

  it('are decoded as one object from 50,000 places', () => {
    const shared = { a: 1 };
    const many = Array.from({ length: 50_000 }, () => shared);
    const copy = roundTrip(many) as object[];
    expect(new Set(copy).size).toBe(1);
  });
});
