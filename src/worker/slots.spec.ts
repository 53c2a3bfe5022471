import { afterEach, describe, expect, it, jest } from '@jest/globals';

import { Slots } from './slots.js';
import type { RunSlot } from './run-slot.js';

const SIZE = 10;

function slotsOf(kind: 'limited' | 'counted' = 'limited') {
  const delegate = { slotFreed: jest.fn(), slotQueued: jest.fn() };
  const slots = new Slots(SIZE, kind, delegate);
  const begin = (): RunSlot => {
    slots.admit();
    return slots.open();
  };
  return { slots, delegate, begin };
}

/** Lets time pass, by performance.now(). */
function at(ms: number): void {
  jest.spyOn(performance, 'now').mockReturnValue(ms);
}

describe('Slots', () => {
  afterEach(() => void jest.restoreAllMocks());

  it('admit as many runs as there are slots before bodies have been measured', () => {
    const { slots } = slotsOf();
    expect(slots.room).toBe(SIZE);
    slots.admit(7);
    expect(slots.room).toBe(3);
    slots.dismiss(2);
    expect(slots.room).toBe(5);
  });

  it.each([
    { bodyMs: 1, writeMs: 9, limit: 100 },
    { bodyMs: 20, writeMs: 5, limit: 12 },
    { bodyMs: 10_000, writeMs: 5, limit: 10 },
    { bodyMs: 0, writeMs: 5, limit: 200 },
  ])('admit $limit runs to ten slots when bodies take $bodyMs ms and writes $writeMs ms', ({ bodyMs, writeMs, limit }) => {
    const { slots, begin } = slotsOf();
    let now = 1_000;
    at(now);
    const run = begin();
    for (let step = 0; step < 100; step++) {
      at((now += writeMs));
      run.take();
      at((now += bodyMs));
      run.lend();
    }
    run.rest();
    expect(slots.room).toBe(limit);
  });

  it('count the time of bodies that have not ended', () => {
    const { slots, begin } = slotsOf();
    at(0);
    const runs = Array.from({ length: 40 }, begin);
    at(1);
    for (const run of runs) {
      run.take();
      run.lend();
      run.rest();
    }
    expect(slots.room).toBe(200);
    const long = begin();
    long.take();
    at(100_000);
    // As many as there are slots, less the one that the long body holds.
    expect(slots.room).toBe(SIZE - 1);
  });

  it('are granted in the order of the requests, and not past runs that wait', () => {
    const { slots, delegate, begin } = slotsOf();
    const holders = Array.from({ length: SIZE }, begin);
    expect(holders.every((run) => run.take())).toBe(true);
    const granted: string[] = [];
    const [first, second, third] = [begin(), begin(), begin()];
    expect(first.take()).toBe(false);
    first.wait(() => granted.push('first'));
    second.wait(() => granted.push('second'));
    expect(delegate.slotQueued).toHaveBeenCalled();
    expect(slots.room).toBe(0);
    holders[0]!.lend();
    expect(granted).toEqual(['first']);
    // The second run waits, so neither the third nor the former holder may overtake it.
    expect(third.take()).toBe(false);
    expect(holders[0]!.take()).toBe(false);
    first.rest();
    expect(granted).toEqual(['first', 'second']);
    expect(slots.free).toBe(0);
  });

  it('are granted to runs that have begun before runs that have not', () => {
    const { slots, begin } = slotsOf();
    const [halfDone, ...holders] = Array.from({ length: SIZE + 1 }, begin);
    halfDone!.take();
    halfDone!.lend();
    for (const run of holders) run.take();
    const granted: string[] = [];
    begin().wait(() => granted.push('newcomer'));
    halfDone!.wait(() => granted.push('half done'));
    holders[0]!.rest();
    holders[1]!.rest();
    expect(granted).toEqual(['half done', 'newcomer']);
    expect(slots.isQueueing).toBe(false);
  });

  it('let newcomers wait for a second, and runs that have begun for ten', () => {
    const { begin } = slotsOf();
    at(0);
    const [halfDone, ...holders] = Array.from({ length: SIZE + 1 }, begin);
    halfDone!.take();
    halfDone!.lend();
    for (const run of holders) run.take();
    const newcomer = begin();
    for (const run of [halfDone!, newcomer]) run.wait(() => undefined);
    expect([999, 1_000, 9_999, 10_000].map((now) => [newcomer.isOverdue(now), halfDone!.isOverdue(now)])).toEqual([
      [false, false],
      [true, false],
      [true, false],
      [true, true],
    ]);
  });

  it('forget a run that leaves while it waits', () => {
    const { slots, begin } = slotsOf();
    const holders = Array.from({ length: SIZE }, begin);
    for (const run of holders) run.take();
    const leaving = begin();
    const granted = jest.fn();
    leaving.wait(granted);
    leaving.rest();
    holders[0]!.rest();
    expect(granted).not.toHaveBeenCalled();
    expect(slots.isQueueing).toBe(false);
    expect(slots.free).toBe(1);
    expect(slots.room).toBe(1);
  });

  it('are held beyond their number by runs whose code is already active', () => {
    const { slots, begin } = slotsOf();
    const runs = Array.from({ length: SIZE + 2 }, begin);
    for (const run of runs) run.hold();
    expect(slots.free).toBe(0);
    const waiting = begin();
    const granted = jest.fn();
    waiting.wait(granted);
    runs[0]!.rest();
    runs[1]!.rest();
    expect(granted).not.toHaveBeenCalled();
    runs[2]!.rest();
    expect(granted).toHaveBeenCalledTimes(1);
  });

  it('let no body begin in a run whose active code holds one more slot than there are', () => {
    const { slots, begin } = slotsOf();
    const [extra, ...holders] = Array.from({ length: SIZE + 1 }, begin);
    for (const run of holders) run.take();
    extra!.hold();
    expect(extra!.take()).toBe(false);
    const granted = jest.fn();
    extra!.wait(granted);
    holders[0]!.rest();
    expect(granted).toHaveBeenCalledTimes(1);
    expect(extra!.take()).toBe(true);
    expect(slots.free).toBe(0);
  });

  it('go through any number of runs that cannot use theirs', () => {
    const { slots, begin } = slotsOf();
    const holders = Array.from({ length: SIZE }, begin);
    for (const run of holders) run.take();
    const refused = Array.from({ length: 20_000 }, begin);
    for (const run of refused) run.wait(() => run.lend());
    holders[0]!.rest();
    expect(refused.every((run) => !run.isQueued)).toBe(true);
    expect(slots.free).toBe(1);
  });

  it('are not passed on among runs that are about to be stopped', () => {
    const { slots, begin } = slotsOf();
    const holders = Array.from({ length: SIZE }, begin);
    for (const run of holders) run.take();
    const granted = jest.fn();
    begin().wait(granted);
    slots.dequeueAll();
    for (const run of holders) run.rest();
    expect(granted).not.toHaveBeenCalled();
  });

  it('let no run wait when they are only counted', () => {
    const { slots, begin } = slotsOf('counted');
    const runs = Array.from({ length: SIZE + 5 }, begin);
    expect(runs.every((run) => run.take())).toBe(true);
    expect(slots.free).toBe(0);
  });
});
