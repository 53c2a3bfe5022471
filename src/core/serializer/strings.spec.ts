import { describe, expect, it } from '@jest/globals';

import { decode, encode } from './index.js';

/** Returns all strings of a stored text as PostgreSQL reads them, keys included. */
function storedStrings(text: string): string[] {
  const found: string[] = [];
  JSON.parse(text, (key, value: unknown) => {
    found.push(key);
    if (typeof value === 'string') found.push(value);
    return value;
  });
  return found;
}

describe('the escape of strings that PostgreSQL cannot read', () => {
  it.each([
    '\0',
    'a\0b\0',
    '\ud800',
    '\udc00\ud800',
    '\ud83d\ude00\udc00',
    '100 %\0',
    '$durable:',
    '$durable:a%0000b',
    '$durable',
    '%0000',
    '\\u0000',
    '\\\\u0000"\0',
    '\u0001\u001f\u2028',
    '"\\ud800"',
    'é漢😀',
  ])('restores %j as value, key and Map key', (text) => {
    const value = { text, [text]: [text], m: new Map([[text, new RegExp('x')]]), nested: { [text]: { [text]: 1n } } };
    for (const each of [text, [text], { [text]: 1 }, value]) {
      const stored = encode(each, 'input');
      expect(decode(stored)).toStrictEqual(each);
      for (const part of storedStrings(stored)) expect(part).toMatch(/^[^\0\ud800-\udfff]*$/u);
    }
  });

  it('keeps the other characters of the string readable', () => {
    expect(encode({ 'k\0': 'a\0b%\ud800' }, 'input')).toBe('{"$durable:k%0000":"$durable:a%0000b%0025%d800"}');
  });

  it('does not change strings that PostgreSQL can read', () => {
    const value = { a: '50% \\u0000 "x" \u0007 $durable', b: 'bad\0' };
    expect(encode(value, 'input')).toBe(`{"a":${JSON.stringify(value.a)},"b":"$durable:bad%0000"}`);
  });

  it('restores megabytes of text', () => {
    const value = { a: '"\\'.repeat(500_000), b: `${'x'.repeat(1_000_000)}\0` };
    expect(decode(encode(value, 'input'))).toStrictEqual(value);
  });
});
