import { describe, expect, it } from '@jest/globals';

import { toPlainJson } from './plain-json.js';

describe('the JSON of a chunk', () => {
  it.each<[unknown, unknown]>([
    [undefined, null],
    [
      [undefined, Number.NaN, -0, ''],
      [null, null, 0, ''],
    ],
    [new Date(5), '1970-01-01T00:00:00.005Z'],
    [new Date(Number.NaN), null],
    [7n, '7'],
    [
      { bytes: Buffer.from('ab'), rest: new Uint8Array([97, 98]).buffer },
      { bytes: 'YWI=', rest: 'YWI=' },
    ],
    [new Map<unknown, unknown>([[{ a: 1n }, new Set([1])]]), [[{ a: '1' }, [1]]]],
    [
      [new TypeError('wrong'), /a/g],
      [{ name: 'TypeError', message: 'wrong' }, '/a/g'],
    ],
  ])('of %p is %p', (value, expected) => expect(JSON.parse(toPlainJson(value))).toEqual(expected));
});
