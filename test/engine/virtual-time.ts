import { AsyncResource } from 'node:async_hooks';
import timers from 'node:timers';
import { afterAll, afterEach, beforeAll, jest } from '@jest/globals';

import { replaceTimers } from '../../src/core/timers.js';

const EPOCH = Date.UTC(2030, 0, 1);

const nextRound = globalThis.setImmediate;
const realTimers = { setTimeout: timers.setTimeout, clearTimeout: timers.clearTimeout, setImmediate: timers.setImmediate };
let pending = 0;

/**
 * Counts callbacks that are scheduled for the next round of the event loop. `settle` uses the count
 * to detect that no work is left.
 */
function countingSetImmediate(callback: (...args: unknown[]) => void, ...args: unknown[]): NodeJS.Immediate {
  pending++;
  return nextRound(() => {
    pending--;
    callback(...args);
  });
}

/**
 * Makes time in this file virtual. Date and setTimeout stand still until no other work is left,
 * then jump to the next timer. So a sleep of three days takes no time, and the order of events is
 * the same on every machine.
 */
export function useVirtualTime(): void {
  beforeAll(() => {
    // Keeps the functions real that turns of the engine depend on.
    jest.useFakeTimers({
      doNotFake: ['setImmediate', 'clearImmediate', 'nextTick', 'queueMicrotask', 'performance', 'hrtime'],
      now: EPOCH,
    });
    globalThis.setImmediate = countingSetImmediate as typeof setImmediate;
    replaceTimers({
      setTimeout: globalThis.setTimeout,
      clearTimeout: globalThis.clearTimeout,
      setImmediate: countingSetImmediate as typeof setImmediate,
    });
  });
  afterEach(rewind);
  afterAll(() => {
    globalThis.setImmediate = nextRound;
    replaceTimers(realTimers);
    jest.useRealTimers();
  });
}

/** Drops all timers and restarts time. */
export function rewind(): void {
  jest.clearAllTimers();
  jest.setSystemTime(EPOCH);
}

/** Resolves when all microtasks and immediates are done, and those that they caused. */
export async function settle(): Promise<void> {
  for (let quiet = 0; quiet < 2; quiet++) {
    await new Promise((resolve) => nextRound(resolve));
    if (pending > 0) quiet = -1;
  }
}

/** Fires the next timer; returns false without timers. */
export function jump(): boolean {
  if (jest.getTimerCount() === 0) return false;
  jest.advanceTimersToNextTimer();
  return true;
}

/** Lets time pass until the condition holds. */
export async function until(condition: () => boolean, what: string | (() => string) = 'the condition'): Promise<void> {
  for (let jumps = 0; ; jumps++) {
    await settle();
    if (condition()) return;
    if (jumps > 10_000 || !jump()) throw new Error(`nothing is left to happen, and not yet: ${typeof what === 'string' ? what : what()}`);
  }
}

/**
 * Resolves after `ms` virtual milliseconds. Creates an async resource as a real timer does, so that
 * it counts as ordinary I/O.
 */
export function delay(ms: number): Promise<void>;
export function delay<T>(ms: number, value: T): Promise<T>;
export function delay(ms: number, value?: unknown): Promise<unknown> {
  void new AsyncResource('VirtualTimer');
  return new Promise((resolve) => setTimeout(() => resolve(value), ms));
}
