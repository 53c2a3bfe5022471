import { setImmediate } from 'node:timers/promises';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

import { describe, expect, it } from '@jest/globals';

import { AbortGate } from './abort-gate.js';

const never = new Promise<never>(() => undefined);

describe('what waits until a stop', () => {
  it('gets what the work comes to, when that is first', async () => {
    const stop = new AbortGate();
    await expect(stop.until(Promise.resolve(1))).resolves.toBe(1);
    await expect(stop.until(Promise.reject(new Error('no')))).rejects.toThrow('no');
  });

  it('rejects when it is stopped, and whoever comes later at once', async () => {
    const stop = new AbortGate();
    const waiting = [stop.until(never), stop.until(never)];
    stop.give(new Error('closed'));
    for (const each of [...waiting, stop.until(never), stop.until(Promise.reject(new Error('no')))])
      await expect(each).rejects.toThrow('closed');
  });

  it('leaves nothing behind when it is over', async () => {
    setFlagsFromString('--expose-gc');
    const collect = runInNewContext('gc') as () => void;
    const stop = new AbortGate();
    const come = async (): Promise<WeakRef<object>> => new WeakRef(await stop.until(Promise.resolve({})));
    const results = [await come(), await come()];
    for (let round = 0; round < 10; round++) {
      await setImmediate();
      collect();
    }
    expect(results.map((result) => result.deref())).toEqual([undefined, undefined]);
    stop.give(new Error('closed'));
  });
});
