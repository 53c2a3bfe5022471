import { describe, expect, it } from '@jest/globals';

import { DueTimes } from './due-times.js';
import { decideFiring, MISSED_AFTER_MS, type DueSchedule } from './firing.js';
import type { Timing } from './schedule-types.js';

const HOUR = 3_600_000;
const START = Date.parse('2026-03-02T00:00:00Z');
const HOURLY: Timing = { cron: '0 * * * *', everyMs: null, timezone: 'UTC', startAt: null, endAt: null, jitterMs: 0 };

function due(changes: Partial<DueSchedule> = {}): DueSchedule {
  const base = { name: 'hourly', dueAt: START, queuedAt: null, jitterMs: 0, failures: 0, activeRuns: [] };
  return { ...base, overlap: 'skip', catchUp: 'last', catchUpLimit: 1, ...changes };
}

function decide(schedule: DueSchedule, now: number, timing: Timing = HOURLY): ReturnType<typeof decideFiring> {
  return decideFiring(schedule, new DueTimes(timing, START), now);
}

describe('runs that a due schedule starts', () => {
  it('starts one run for a due time, and stores the next due time', () => {
    const fired = decide(due(), START + 10);
    expect(fired).toEqual({ starts: [START], cancels: [], skipped: 0, queuedAt: null, dueAt: START + HOUR, fireAt: START + HOUR });
  });

  const outage = START + 48 * HOUR + 30 * 60_000;
  it.each([
    ['none', 0, []],
    ['last', 1, [START + 48 * HOUR]],
    ['all', 100, Array.from({ length: 49 }, (_, hour) => START + hour * HOUR)],
    ['all', 3, [46, 47, 48].map((hour) => START + hour * HOUR)],
  ] as const)('catches up with %s (%i) after an outage of two days', (catchUp, catchUpLimit, starts) => {
    const fired = decide(due({ catchUp, catchUpLimit }), outage);
    expect(fired.starts).toEqual(starts);
    expect(fired.dueAt).toBe(START + 49 * HOUR);
  });

  it.each(['none', 'last'] as const)('starts the run of a due time that is less than a minute late with catch-up %s', (catchUp) => {
    expect(decide(due({ catchUp, catchUpLimit: catchUp === 'none' ? 0 : 1 }), START + MISSED_AFTER_MS).starts).toEqual([START]);
  });

  it('does not lose a due time whose start has failed until it counts as missed', () => {
    const fired = decide(due({ catchUp: 'none', catchUpLimit: 0, failures: 9 }), START + 10 * 60_000);
    expect(fired.starts).toEqual([START]);
  });

  it('does not start the run of a future due time because the start of a queued run has failed', () => {
    const fired = decide(due({ dueAt: START + HOUR, queuedAt: START, overlap: 'queue', failures: 1 }), START + 5_000);
    expect(fired.starts).toEqual([START]);
    expect(fired.dueAt).toBe(START + HOUR);
  });

  it('starts the run of a stored due time that the time zone data no longer contain', () => {
    const moved = START + 17 * 60_000;
    expect(decide(due({ dueAt: moved }), moved + 5).starts).toEqual([moved]);
    expect(decide(due({ dueAt: moved, catchUp: 'all', catchUpLimit: 9 }), START + 2 * HOUR + 300_000).starts).toEqual([
      moved,
      START + HOUR,
      START + 2 * HOUR,
    ]);
  });

  it.each([
    ['skip', { starts: [], cancels: [], skipped: 1, queuedAt: null }],
    ['queue', { starts: [], cancels: [], skipped: 0, queuedAt: START }],
    ['allow', { starts: [START], cancels: [], skipped: 0, queuedAt: null }],
    ['cancelPrevious', { starts: [START], cancels: ['earlier'], skipped: 0, queuedAt: null }],
  ] as const)('with overlap %s while a run has not ended', (overlap, expected) => {
    expect(decide(due({ overlap, activeRuns: ['earlier'] }), START)).toMatchObject(expected);
  });

  it('queues only one run', () => {
    const fired = decide(due({ overlap: 'queue', dueAt: START + HOUR, queuedAt: START, activeRuns: ['earlier'] }), START + HOUR);
    expect(fired).toMatchObject({ starts: [], skipped: 1, queuedAt: START });
  });

  it('starts the queued run with its own due time once the other runs have ended', () => {
    const fired = decide(due({ overlap: 'queue', dueAt: START + HOUR, queuedAt: START }), START + 600_000);
    expect(fired).toMatchObject({ starts: [START], queuedAt: null, dueAt: START + HOUR });
  });

  it('starts only the last of several due times when each run would cancel the one before', () => {
    const timing: Timing = { ...HOURLY, cron: null, everyMs: 1_000 };
    const fired = decide(due({ overlap: 'cancelPrevious', dueAt: START + 1_000, activeRuns: ['a'] }), START + 3_500, timing);
    expect(fired).toMatchObject({ starts: [START + 3_000], cancels: ['a'], skipped: 2, dueAt: START + 4_000 });
  });

  it('gives each due time the same delay in every process, and waits for it', () => {
    const timing: Timing = { ...HOURLY, jitterMs: 600_000 };
    const times = new DueTimes(timing, START);
    const delays = Array.from({ length: 50 }, (_, hour) => times.jitterOf('hourly', START + hour * HOUR));
    expect(delays).toEqual(delays.map((_, hour) => new DueTimes(timing, 0).jitterOf('hourly', START + hour * HOUR)));
    expect(Math.max(...delays)).toBeLessThan(600_000);
    expect(new Set(delays).size).toBeGreaterThan(40);
    const early = decideFiring(due({ jitterMs: 600_000 }), times, START + delays[0]! - 1);
    expect(early).toMatchObject({ starts: [], dueAt: START, fireAt: START + delays[0]! });
    expect(decideFiring(due({ jitterMs: 600_000 }), times, START + delays[0]!).starts).toEqual([START]);
  });

  it('computes only the due times that it needs after a gap of years', () => {
    const timing: Timing = { ...HOURLY, cron: null, everyMs: 1_000 };
    const now = START + 10 * 365 * 24 * HOUR;
    const fired = decide(due({ dueAt: START + 1_000 }), now, timing);
    expect(fired.starts.length).toBeLessThanOrEqual(62);
    expect(fired.dueAt).toBe(now + 1_000);
  });
});
