import { describe, expect, it } from '@jest/globals';

import { DueTimes } from './due-times.js';
import type { Timing } from './schedule-types.js';

const timing = (cron: string, timezone: string): Timing => ({
  cron,
  everyMs: null,
  timezone,
  startAt: null,
  endAt: null,
  jitterMs: 0,
});

/** Returns the due times in the half-open period, found one after the other. */
function firings(cron: string, timezone: string, from: number, to: number): number[] {
  const times = new DueTimes(timing(cron, timezone), 0);
  const found: number[] = [];
  for (let due = times.next(from - 1); due !== null && due < to; due = times.next(due)) found.push(due);
  return found;
}

const iso = (times: readonly number[]): string[] => times.map((time) => new Date(time).toISOString().replace(':00.000Z', 'Z'));
const on = (cron: string, timezone: string, day: string, hours = 24): string[] =>
  iso(firings(cron, timezone, Date.parse(day), Date.parse(day) + hours * 3_600_000));

describe('daily due times on days on which clocks change', () => {
  it.each([
    // Zone, expression, beginning of the local day in UTC, hours of the day, due time
    ['Europe/Berlin', '30 2 * * *', '2027-03-27T23:00Z', 23, '2027-03-28T01:00Z'],
    ['Europe/Berlin', '0 2 * * *', '2027-03-27T23:00Z', 23, '2027-03-28T01:00Z'],
    ['Europe/Berlin', '30 2 * * *', '2026-10-24T22:00Z', 25, '2026-10-25T00:30Z'],
    ['Europe/Berlin', '0 3 * * *', '2026-10-24T22:00Z', 25, '2026-10-25T02:00Z'],
    ['America/New_York', '30 2 * * *', '2027-03-14T05:00Z', 23, '2027-03-14T07:00Z'],
    ['America/New_York', '0 2 * * *', '2026-11-01T04:00Z', 25, '2026-11-01T07:00Z'],
    ['Australia/Lord_Howe', '15 2 * * *', '2026-10-03T13:30Z', 23.5, '2026-10-03T15:30Z'],
    ['Australia/Lord_Howe', '15 2 * * *', '2027-04-03T13:00Z', 24.5, '2027-04-03T15:45Z'],
    ['Pacific/Chatham', '45 2 * * *', '2026-09-26T11:15Z', 23, '2026-09-26T14:00Z'],
    ['Africa/Cairo', '0 0 * * *', '2027-04-29T22:00Z', 23, '2027-04-29T22:00Z'],
    ['Antarctica/Troll', '30 2 * * *', '2026-10-24T22:00Z', 26, '2026-10-25T00:30Z'],
  ])('%s %s on the day that begins at %s', (zone, cron, day, hours, expected) => {
    expect(on(cron, zone, day, hours)).toEqual([expected]);
  });

  it('lets expressions with * or / follow the clock', () => {
    expect(on('*/15 * * * *', 'Europe/Berlin', '2026-10-24T22:00Z', 25)).toHaveLength(100);
    expect(on('0 * * * *', 'Europe/Berlin', '2027-03-27T23:00Z', 23)).toHaveLength(23);
    expect(on('0 */2 * * *', 'Europe/Berlin', '2026-10-24T22:00Z', 25)).toHaveLength(13);
  });

  it('knows leap days and the end of the year', () => {
    expect(on('0 0 29 2 *', 'UTC', '2026-12-01T00:00Z', 24 * 366 * 2)).toEqual(['2028-02-29T00:00Z']);
    expect(on('59 59 23 31 12 *', 'Europe/Berlin', '2026-12-01T00:00Z', 24 * 31)).toEqual(['2026-12-31T22:59:59.000Z']);
  });
});

describe('periods', () => {
  const every = (changes: Partial<Timing> = {}): Timing => ({ ...timing('', 'UTC'), cron: null, everyMs: 900_000, ...changes });
  const anchor = Date.parse('2027-03-28T00:07:00Z');

  it('count from the creation in real time, and begin one period later', () => {
    const times = new DueTimes(every(), anchor);
    expect(times.next(anchor - 99_999_999)).toBe(anchor + 900_000);
    expect(times.next(anchor + 900_000)).toBe(anchor + 1_800_000);
    expect(times.previous(2, 0, anchor + 2_000_000)).toEqual([anchor + 900_000, anchor + 1_800_000]);
  });

  it('count from startAt, which is due itself, and end before endAt', () => {
    const times = new DueTimes(every({ startAt: anchor, endAt: anchor + 1_800_000 }), anchor);
    expect(times.next(0)).toBe(anchor);
    expect(times.next(anchor)).toBe(anchor + 900_000);
    expect(times.next(anchor + 900_000)).toBeNull();
    expect(times.previous(9, 0, anchor + 99_999_999)).toEqual([anchor, anchor + 900_000]);
  });
});

/** Pseudo-random numbers from a seed, so that a failure can be repeated. */
function random(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
}

const MINUTE = 60_000;
const DAY = 1_440 * MINUTE;

interface Civil {
  readonly day: string;
  readonly minuteOfDay: number;
}

/** Reads the wall clock of a zone at each minute of a period, by Intl alone. */
function wallClock(timezone: string, from: number, to: number): Civil[] {
  // Texts such as "2027-03-28 03:00".
  const format = new Intl.DateTimeFormat('sv-SE', { timeZone: timezone, dateStyle: 'short', timeStyle: 'short' });
  const found: Civil[] = [];
  for (let time = from; time < to; time += MINUTE) {
    const [day, clock] = format.format(time).split(' ');
    found.push({ day: day!, minuteOfDay: Number(clock!.slice(0, 2)) * 60 + Number(clock!.slice(3)) });
  }
  return found;
}

/**
 * Walks through the wall clock minute by minute. A fixed minute of the day is due once a day: the
 * first time that the clock shows it, or, when the clock skips it, at the first minute after the
 * gap.
 */
function fixedFirings(clock: readonly Civil[], minutes: readonly number[], from: number): number[] {
  const due = new Set<number>();
  const done = new Set<string>();
  for (const [index, { day, minuteOfDay }] of clock.entries()) {
    const before = clock[index - 1];
    for (const minute of minutes) {
      const isShown = minuteOfDay === minute;
      const isSkipped = before !== undefined && before.day === day && before.minuteOfDay < minute && minuteOfDay > minute;
      const isSkippedAtMidnight = before !== undefined && before.day !== day && minute < minuteOfDay;
      if (!(isShown || isSkipped || isSkippedAtMidnight) || done.has(`${day} ${minute}`)) continue;
      done.add(`${day} ${minute}`);
      due.add(from + index * MINUTE);
    }
  }
  return [...due].toSorted((a, b) => a - b);
}

/** Finds a day of a year on which the zone's offset changes; undefined when no day does. */
function changeOf(timezone: string, year: number, which: number): number | undefined {
  const offsets = new Intl.DateTimeFormat('en', { timeZone: timezone, timeZoneName: 'longOffset' });
  const offsetAt = (time: number): string => offsets.formatToParts(time).find(({ type }) => type === 'timeZoneName')!.value;
  const changes: number[] = [];
  const begin = Date.UTC(year, 0, 1);
  for (let day = begin; day < begin + 365 * DAY; day += DAY) if (offsetAt(day) !== offsetAt(day + DAY)) changes.push(day);
  return changes[which % Math.max(changes.length, 1)];
}

const ZONES = [
  'Europe/Berlin',
  'America/New_York',
  'Australia/Lord_Howe',
  'Pacific/Chatham',
  'Africa/Cairo',
  'Antarctica/Troll',
  'America/Santiago',
  'Asia/Kathmandu',
  'Asia/Beirut',
  'Europe/Dublin',
  'America/St_Johns',
  'UTC',
];

describe('due times compared with a walk through the wall clock', () => {
  // DURABLE_CHAOS=1 tries many more.
  const next = random(20_261_201);
  const cases = Array.from({ length: process.env['DURABLE_CHAOS'] ? 1_500 : 30 }, () => {
    const zone = ZONES[next(ZONES.length)]!;
    const year = 2024 + next(13);
    const change = changeOf(zone, year, next(2)) ?? Date.UTC(year, next(12), 1 + next(28));
    const kind = (['fixed', 'list', 'range', 'step', 'every hour'] as const)[next(5)]!;
    const hours = [...new Set([next(5), next(24)])].toSorted((a, b) => a - b);
    const step = [5, 15, 20, 30][next(4)]!;
    const day = next(4);
    const dayFields =
      day === 0 ? `* * ${1 + next(6)}` : day === 1 ? `${new Date(change).getUTCDate()} * *` : day === 2 ? `* ${1 + next(12)} *` : '* * *';
    return { zone, change, kind, minute: next(60), hours, step, dayFields };
  });

  it.each(cases)('$zone $kind, days $dayFields, around $change', ({ zone, change, kind, minute, hours, step, dayFields }) => {
    const [from, to] = [change - DAY, change + 2 * DAY];
    // The walk begins a day earlier, so that it knows which times of the first day have passed.
    const clock = wallClock(zone, from - DAY, to);
    const fits = (time: number): boolean => {
      const { day } = clock[(time - from + DAY) / MINUTE]!;
      const date = new Date(`${day}T00:00Z`);
      const shown = [date.getUTCDate(), date.getUTCMonth() + 1, date.getUTCDay()];
      return dayFields.split(' ').every((field, index) => field === '*' || Number(field) === shown[index]);
    };
    const [first, last] = [hours[0]!, hours.at(-1)!];
    const chosen = { list: hours, range: Array.from({ length: last - first + 1 }, (_, index) => first + index) }[kind as string] ?? [first];
    const hourField = kind === 'range' && last > first ? `${first}-${last}` : chosen.join(',');
    const clockFields = { step: `*/${step} *`, 'every hour': `${minute} *` }[kind as string] ?? `${minute} ${hourField}`;
    const cron = `${clockFields} ${dayFields}`;
    const isShown = (minuteOfDay: number): boolean => (kind === 'step' ? (minuteOfDay % 60) % step === 0 : minuteOfDay % 60 === minute);
    const expected =
      kind === 'step' || kind === 'every hour'
        ? clock.flatMap(({ minuteOfDay }, index) => (isShown(minuteOfDay) ? from - DAY + index * MINUTE : []))
        : fixedFirings(
            clock,
            chosen.map((hour) => hour * 60 + minute),
            from - DAY,
          );
    const wanted = expected.filter((time) => time >= from && fits(time));
    expect(firings(cron, zone, from, to)).toEqual(wanted);
    expect(new DueTimes(timing(cron, zone), 0).previous(wanted.length + 1, from, to)).toEqual(wanted);
  });
});
