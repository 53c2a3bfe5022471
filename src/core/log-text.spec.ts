import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';

import { hasUnsafeCharacters, logStack, logText } from './log-text.js';

describe('logText', () => {
  it.each([
    ['a\nb\r\nc\td', String.raw`a\nb\r\nc\td`],
    ['\u001b[2J\u0007', String.raw`\u001b[2J\u0007`],
    ['\u0085\u009b31m\u007f', String.raw`\u0085\u009b31m\u007f`],
    ['\u2028\u2029', String.raw`\u2028\u2029`],
    ['order\u202e6-redro\u2066', String.raw`order\u202e6-redro\u2066`],
    ['\ud83d', String.raw`\ud83d`],
    ['Ärger 漢字 😀 \u200f', 'Ärger 漢字 😀 \u200f'],
  ])('escapes the characters of %j that a terminal would interpret', (text, expected) => {
    expect(logText(text)).toBe(expected);
  });

  it('returns one line of bounded length for any text', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary', maxLength: 200 }), (text) => {
        const line = logText(text);
        expect([text, hasUnsafeCharacters(line), line.isWellFormed()]).toEqual([text, false, true]);
      }),
    );
    expect(logText('x'.repeat(1_000_000)).length).toBeLessThan(8_100);
  });

  it('keeps the line breaks of a stack and escapes everything else', () => {
    const error = new Error('gone\u001b[2J');

    expect(logStack(error).split('\n')[0]).toBe(String.raw`Error: gone\u001b[2J`);
    expect(logStack(error).split('\n').length).toBeGreaterThan(2);
  });
});
