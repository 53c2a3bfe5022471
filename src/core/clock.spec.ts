import { performance } from 'node:perf_hooks';

import { describe, expect, it } from '@jest/globals';

import { DatabaseClock } from './clock.js';

describe("the database's clock", () => {
  const SERVER = 1_000_000;
  const off = (clock: DatabaseClock, expected: number): number => Math.abs(clock.now() - expected);

  it('is taken from the first answer, whatever the clock of this machine says', () => {
    const clock = new DatabaseClock();
    clock.sync(SERVER, performance.now());
    expect(off(clock, SERVER)).toBeLessThan(50);
  });

  it('keeps a good reading when a later one is less exact', () => {
    const clock = new DatabaseClock();
    clock.sync(SERVER, performance.now());
    clock.sync(SERVER, performance.now() - 1_000);
    expect(off(clock, SERVER)).toBeLessThan(50);
  });

  it('believes a less exact reading that contradicts the one before: this machine was suspended, or another server answers', () => {
    const clock = new DatabaseClock();
    clock.sync(SERVER, performance.now());
    clock.sync(SERVER + 60_000, performance.now() - 1_000);
    expect(off(clock, SERVER + 60_500)).toBeLessThan(50);
  });
});
