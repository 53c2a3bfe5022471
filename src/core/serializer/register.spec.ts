import { describe, expect, it } from '@jest/globals';

import { InvalidInputError } from '../errors/index.js';
import { decode, encode } from './index.js';
import { serializer } from './types.js';

class Taken {}
serializer.register(Taken, { name: 'test/Taken', serialize: () => 1, deserialize: () => new Taken() });

const refusal = (act: () => unknown): unknown => {
  try {
    return act();
  } catch (error) {
    return error;
  }
};

describe('serializer.register', () => {
  const fine = { name: 'test/Fresh', serialize: () => 1, deserialize: () => ({}) };
  class Fresh {}

  it.each<[string, string, unknown, unknown]>([
    ['type', 'undefined', undefined, fine],
    ['type', 'an instance', new Fresh(), fine],
    ['type', 'an arrow function', () => 1, fine],
    ['type', 'a name', 'Fresh', fine],
    [
      'type',
      'a proxy that throws',
      new Proxy(Fresh, {
        get: () => {
          throw new Error('no');
        },
      }),
      fine,
    ],
    ...[Object, Array, Date, Map, Set, Error, RangeError, URL, RegExp, Buffer, Uint8Array, Promise, String].map(
      (type): [string, string, unknown, unknown] => ['type', type.name, type, fine],
    ),
    ['type', 'an already registered class', Taken, fine],
    ['options', 'nothing', Fresh, undefined],
    ['options', 'a function', Fresh, () => fine],
    ['options', 'an array', Fresh, [fine]],
    ['options.nmae', 'a misspelt option', Fresh, { ...fine, nmae: 'x' }],
    ['options.name', 'a name that is taken', Fresh, { ...fine, name: 'test/Taken' }],
    ...[undefined, 5, '', 'a\0b', 'a\ud800', 'x'.repeat(256)].map((name): [string, string, unknown, unknown] => [
      'options.name',
      JSON.stringify(name) ?? 'undefined',
      Fresh,
      { ...fine, name },
    ]),
    [
      'options.name',
      'a getter that throws',
      Fresh,
      {
        ...fine,
        get name() {
          throw new Error('no');
        },
      },
    ],
    ['options.serialize', 'a missing function', Fresh, { ...fine, serialize: undefined }],
    ['options.deserialize', 'a text', Fresh, { ...fine, deserialize: 'x' }],
  ])('refuses a bad %s: %s', (argument, _, type, options) => {
    const error = refusal(() => serializer.register(type as typeof Fresh, options as typeof fine));
    expect(error).toBeInstanceOf(InvalidInputError);
    expect(error).toMatchObject({ argument });
    // The refused registration leaves nothing behind: the class is unknown, as before.
    expect(encode(new Fresh(), 'input')).toBe('{}');
  });

  it('accepts names that only look odd', () => {
    for (const name of ['__proto__', 'constructor', 'a"b\'c\\']) {
      const Odd = class {};
      serializer.register(Odd, { name, serialize: () => 1, deserialize: () => new Odd() });
      expect(decode(encode(new Odd(), 'input'))).toBeInstanceOf(Odd);
    }
  });
});
