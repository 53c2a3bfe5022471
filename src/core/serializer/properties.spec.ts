import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';

import { anyKey, anyString, anyValue, isSame } from '../../../test/support/any-value.js';
import { SerializationError } from '../errors/index.js';
import { decode, decodeError, encode, encodeError } from './index.js';

function expectReadable(text: string): void {
  JSON.parse(text, (key, value: unknown) => {
    for (const part of [key, value])
      if (typeof part === 'string' && /[\0\ud800-\udfff]/u.test(part)) throw new Error(`unreadable: ${text}`);
    return value;
  });
}

/** Number of generated values: all of them with DURABLE_CHAOS=1, otherwise a quarter. */
const runs = (all: number): number => (process.env['DURABLE_CHAOS'] ? all : all / 4);

describe('any value', () => {
  it('is decoded as it was encoded, from text that PostgreSQL reads', () => {
    fc.assert(
      fc.property(anyValue, (value) => {
        const text = encode(value, 'input');
        expectReadable(text);
        const copy = decode(text);
        expect(isSame(copy, value)).toBe(true);
        expect(encode(copy, 'input')).toBe(text);
      }),
      { numRuns: runs(2_000) },
    );
  });

  it('is stored as JSON.stringify writes it when it came from JSON.parse and needs no escape', () => {
    fc.assert(
      fc.property(fc.jsonValue({ noUnicodeString: true, stringUnit: 'grapheme-ascii' }), (json) => {
        const text = JSON.stringify(json);
        fc.pre(!text.includes('$durable'));
        const plain = JSON.parse(text) as unknown;
        expect(encode(plain, 'input')).toBe(text);
      }),
      { numRuns: runs(1_000) },
    );
  });

  it('keeps the identity of shared objects', () => {
    const pick = fc.array(fc.tuple(fc.nat({ max: 5 }), anyKey), { minLength: 2, maxLength: 8 });
    fc.assert(
      fc.property(fc.array(anyValue, { minLength: 6, maxLength: 6 }), pick, (values, picks) => {
        const boxes = values.map((value) => ({ value }));
        const value = picks.map(([index, key]) => new Map([[key, boxes[index]]]));
        const copy = decode(encode(value, 'input')) as typeof value;
        const seen = new Map<unknown, unknown>();
        picks.forEach(([index, key], position) => {
          const box = copy[position]!.get(key);
          expect(isSame(box, boxes[index])).toBe(true);
          expect(seen.get(index) ?? box).toBe(box);
          seen.set(index, box);
        });
        expect(new Set(seen.values()).size).toBe(seen.size);
      }),
      { numRuns: runs(500) },
    );
  });

  it('is refused with the path of the part that cannot be stored', () => {
    const steps = fc.array(fc.oneof(fc.nat({ max: 3 }), fc.stringMatching(/^[a-z]{1,5}$/)), { maxLength: 10 });
    fc.assert(
      fc.property(steps, (path) => {
        let value: unknown = () => 1;
        for (const step of [...path].reverse()) {
          value =
            typeof step === 'number'
              ? Object.assign(
                  Array.from<unknown, unknown>({ length: 4 }, () => ({ x: 1 })),
                  { [step]: value },
                )
              : { before: [{}], [step]: value };
        }
        const expected = `input${path.map((step) => (typeof step === 'number' ? `[${step}]` : `.${step}`)).join('')}`;
        let refusal: unknown;
        try {
          encode(value, 'input');
        } catch (error) {
          refusal = error;
        }
        expect(refusal).toBeInstanceOf(SerializationError);
        expect((refusal as SerializationError).path).toBe(expected);
      }),
    );
  });
});

describe('any thrown value', () => {
  it('is recorded readably and decoded as an Error', () => {
    const properties = fc.dictionary(
      anyKey,
      fc.oneof(
        anyValue,
        fc.constant(() => 1),
      ),
      { noNullPrototype: true },
    );
    fc.assert(
      fc.property(anyString, anyValue, properties, fc.boolean(), (message, cause, own, isError) => {
        const error = new Error(message, { cause });
        for (const [key, value] of Object.entries(own)) Object.defineProperty(error, key, { value, enumerable: true });
        const text = encodeError(isError ? error : cause);
        expectReadable(text);
        const copy = decodeError(text);
        expect(copy).toBeInstanceOf(Error);
        if (isError && !Object.hasOwn(own, 'message')) expect(copy.message).toBe(message);
      }),
      { numRuns: runs(1_000) },
    );
  });
});
