import { describe, expect, it } from '@jest/globals';

import { MAX_DURATION_MS, parseDuration, toMilliseconds, toTimestamp } from './duration.js';
import type { ConfiguredDuration, Duration } from './duration.js';
import { InvalidInputError } from './errors/index.js';

const SECOND = 1_000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

describe('toMilliseconds', () => {
  it.each<[ConfiguredDuration, number]>([
    [0, 0],
    [-0, 0],
    [1, 1],
    [1.4, 1],
    [0.5, 1],
    [MAX_DURATION_MS, MAX_DURATION_MS],
    ['0', 0],
    ['250', 250],
    ['250ms', 250],
    ['30s', 30 * SECOND],
    ['30 S', 30 * SECOND],
    ['1.5h', 1.5 * HOUR],
    ['.5s', 500],
    ['0.2ms', 0],
    ['5m', 5 * MINUTE],
    ['5 minutes', 5 * MINUTE],
    ['1 hour', HOUR],
    ['2 days', 2 * DAY],
    ['1w', 7 * DAY],
    ['1y', 365.25 * DAY],
    ['100y', MAX_DURATION_MS],
  ])('converts %p to %d ms', (duration, milliseconds) => {
    expect(Math.abs(toMilliseconds(duration, 'delay'))).toBe(milliseconds);
  });

  it.each<[unknown]>([
    [''],
    [' '],
    ['soon'],
    ['30 s s'],
    ['1h 30m'],
    ['1 month'],
    ['2 mo'],
    ['1e3'],
    ['Infinity'],
    ['-1s'],
    ['101 years'],
    ['9'.repeat(101)],
    [`${'9'.repeat(90)}y`],
    [-1],
    [MAX_DURATION_MS + 1],
    [Number.NaN],
    [Number.POSITIVE_INFINITY],
    [undefined],
    [null],
    [true],
    [5n],
    [{}],
    [[]],
    [new Date()],
    [Symbol('s')],
  ])('refuses %p, and names the argument in the error', (duration) => {
    expect(() => toMilliseconds(duration as Duration, 'options.delay')).toThrow(InvalidInputError);
    expect(() => toMilliseconds(duration as Duration, 'options.delay')).toThrow(/^options\.delay must be/);
  });

  it('shows only the start of a long text in the error', () => {
    const refuse = (): unknown => toMilliseconds('x'.repeat(10_000), 'delay');
    expect(refuse).toThrow(InvalidInputError);
    expect(refuse).not.toThrow(/x{101}/);
  });
});

describe('toTimestamp', () => {
  it('returns the milliseconds of a Date', () => {
    const date = new Date();
    expect(toTimestamp(date, 'until')).toBe(date.getTime());
    expect(toTimestamp(new Date(Date.now() - DAY), 'until')).toBeLessThan(Date.now());
    expect(toTimestamp(new Date(-8.64e15), 'until')).toBe(0);
  });

  it.each<[unknown]>([[new Date(Number.NaN)], [new Date(8.64e15)], ['2026-01-01'], [5], [undefined], [null]])('refuses %p', (date) => {
    expect(() => toTimestamp(date as Date, 'until')).toThrow(InvalidInputError);
  });
});

describe('parseDuration', () => {
  it('parses text of a configuration, and names the setting when the text is not a duration', () => {
    expect(parseDuration(' 2 days '.trim())).toBe(2 * DAY);
    expect(parseDuration('1500')).toBe(1500);
    expect(() => parseDuration('3 dayz', 'REMINDER_AFTER')).toThrow(/^REMINDER_AFTER must be a duration/);
    expect(() => parseDuration(undefined as never, 'REMINDER_AFTER')).toThrow(InvalidInputError);
  });
});
