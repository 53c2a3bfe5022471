import { describe, expect, it } from '@jest/globals';

import { InvalidInputError } from '../errors/index.js';
import { checkPolicies, checkTiming, refuseEnded } from './check-timing.js';
import type { SchedulePolicies, ScheduleTiming } from './schedule-types.js';

const NOW = Date.parse('2026-12-01T00:00:00Z');
const check = (timing: unknown): unknown => checkTiming(timing as ScheduleTiming, 'options', NOW);
const errorOf = (call: () => unknown): InvalidInputError => {
  try {
    call();
  } catch (error) {
    if (error instanceof InvalidInputError) return error;
    throw error;
  }
  throw new Error('nothing was thrown');
};

describe('the times of a schedule', () => {
  it.each([
    ['a date that does not exist', { cron: '0 0 31 4 *' }, 'options.cron', 'no date fits'],
    ['30 February', { cron: '0 0 30 2 *' }, 'options.cron', 'no date fits'],
    ['too few fields', { cron: '* * * *' }, 'options.cron', 'five fields'],
    ['a seventh field', { cron: '0 0 0 1 1 * 2030' }, 'options.cron', 'five fields'],
    ['a date instead of an expression', { cron: '2030-01-01T00:00:00' }, 'options.cron', 'five fields'],
    ['an empty expression', { cron: ' ' }, 'options.cron', 'not 0'],
    ['@reboot', { cron: '@reboot' }, 'options.cron', 'not 1'],
    ['a step without a range', { cron: '5/15 * * * *' }, 'options.cron', 'is not a cron expression'],
    ['a range that wraps', { cron: '0 0 * * FRI-MON' }, 'options.cron', 'is not a cron expression'],
    ['an expression that is no text', { cron: 5 }, 'options.cron', 'must be a string'],
    ['a very long expression', { cron: `${'1,'.repeat(300)}1 * * * *` }, 'options.cron', 'at most 255'],
    ['both cron and every', { cron: '* * * * *', every: '1m' }, 'options.every', 'together'],
    ['neither cron nor every', {}, 'options.cron', 'must be given'],
    ['a period below a second', { every: 999 }, 'options.every', 'from 1 second'],
    ['a period that is no duration', { every: 'soon' }, 'options.every', 'must be a duration'],
    ['a zone with every', { every: '1m', timezone: 'UTC' }, 'options.timezone', 'no meaning'],
    ['an unknown zone', { cron: '* * * * *', timezone: 'Europe/Atlantis' }, 'options.timezone', 'there is no zone'],
    ['an offset instead of a zone', { cron: '* * * * *', timezone: '+02:00' }, 'options.timezone', 'there is no zone'],
    ['an empty zone', { cron: '* * * * *', timezone: '' }, 'options.timezone', 'must be a time zone'],
    ['a jitter of more than a day', { every: '1m', jitter: '25h' }, 'options.jitter', 'at most a day'],
    [
      'an end before the beginning',
      { every: '1m', startAt: new Date(NOW + 9), endAt: new Date(NOW + 9) },
      'options.endAt',
      'after startAt',
    ],
    ['an invalid date', { every: '1m', startAt: new Date('never') }, 'options.startAt', 'valid Date'],
  ])('refuses %s', (_, timing, argument, message) => {
    const error = errorOf(() => check(timing));
    expect(error.argument).toBe(argument);
    expect(error.message).toContain(message);
  });

  it.each(['0 8 * * 1-5', '*/10 * * * * *', '@daily', '@Hourly', '0 0 29 2 *', '0 0 L * *', '0 0 * * 5#3', '0  4 * *   MON'])(
    'accepts %s',
    (cron) => {
      expect(check({ cron })).toMatchObject({ cron: cron.replace(/\s+/g, ' '), timezone: 'UTC', everyMs: null });
    },
  );

  it('refuses an end that leaves no due time, except for code that declares a schedule', () => {
    const ended = check({ cron: '0 0 1 1 *', endAt: new Date(NOW + 1_000) }) as Parameters<typeof refuseEnded>[0];
    expect(errorOf(() => refuseEnded(ended, 'options', NOW)).message).toContain('before the first time');
    expect(errorOf(() => refuseEnded({ ...ended, endAt: NOW }, 'options', NOW)).message).toContain('in the future');
  });

  it.each([
    [{ overlap: 'twice' }, 'options.overlap'],
    [{ catchUp: 'some' }, 'options.catchUp'],
    [{ catchUp: null }, 'options.catchUp'],
    [{ catchUp: { all: 0 } }, 'options.catchUp.all'],
    [{ catchUp: { all: 1_001 } }, 'options.catchUp.all'],
  ])('refuses the rule %j', (policies, argument) => {
    expect(errorOf(() => checkPolicies(policies as SchedulePolicies, 'options')).argument).toBe(argument);
  });
});
