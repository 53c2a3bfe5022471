import { performance } from 'node:perf_hooks';

import { describe, expect, it } from '@jest/globals';

import { DatabaseClock } from './clock.js';

describe('DatabaseClock', () => {
  const SERVER = 1_000_000;
  const off = (clock: DatabaseClock, expected: number): number => Math.abs(clock.now() - expected);

  it('follows the first response, whatever the clock of this machine says', () => {
    const clock = new DatabaseClock();
    clock.sync(SERVER, performance.now());
    expect(off(clock, SERVER)).toBeLessThan(250);
  });

  it('keeps a precise reading when a later one is less precise', () => {
    const clock = new DatabaseClock();
    clock.sync(SERVER, performance.now());
    clock.sync(SERVER, performance.now() - 1_000);
    expect(off(clock, SERVER)).toBeLessThan(250);
  });

  it('follows a less precise reading that contradicts the previous one, as after a change of server', () => {
    const clock = new DatabaseClock();
    clock.sync(SERVER, performance.now());
    clock.sync(SERVER + 60_000, performance.now() - 1_000);
    expect(off(clock, SERVER + 60_500)).toBeLessThan(250);
  });
});
