import { setImmediate } from 'node:timers/promises';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

import { describe, expect, it } from '@jest/globals';

import { AbortGate } from './async.js';

const never = new Promise<never>(() => undefined);

describe('AbortGate', () => {
  it('settles as the work does when the work settles first', async () => {
    const gate = new AbortGate();
    await expect(gate.until(Promise.resolve(1))).resolves.toBe(1);
    await expect(gate.until(Promise.reject(new Error('no')))).rejects.toThrow('no');
  });

  it('rejects waiting callers on abort, and later callers at once', async () => {
    const gate = new AbortGate();
    const waiting = [gate.until(never), gate.until(never)];
    gate.abort(new Error('closed'));
    for (const each of [...waiting, gate.until(never), gate.until(Promise.reject(new Error('no')))])
      await expect(each).rejects.toThrow('closed');
  });

  it('keeps no reference to the results of finished work', async () => {
    setFlagsFromString('--expose-gc');
    const collect = runInNewContext('gc') as () => void;
    const gate = new AbortGate();
    const finish = async (): Promise<WeakRef<object>> => new WeakRef(await gate.until(Promise.resolve({})));
    const results = [await finish(), await finish()];
    for (let round = 0; round < 10; round++) {
      await setImmediate();
      collect();
    }
    expect(results.map((result) => result.deref())).toEqual([undefined, undefined]);
    gate.abort(new Error('closed'));
  });
});
