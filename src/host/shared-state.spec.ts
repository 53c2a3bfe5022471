import { describe, expect, it } from '@jest/globals';

import { guardSharedState } from './shared-state.js';

describe('guardSharedState', () => {
  it('keeps fields readable, writable and enumerable, and functions unchanged', async () => {
    const instance = { n: 1, run: async () => instance.n };
    const run = instance.run;
    const guarded = guardSharedState(instance, () => instance.run());
    instance.n = 2;
    await expect(guarded()).resolves.toBe(2);
    expect({ ...instance }).toEqual({ n: 2, run });
    expect(Object.getOwnPropertyDescriptor(instance, 'run')).toMatchObject({ value: run, writable: true });
  });

  it('accepts a frozen instance', async () => {
    const instance = Object.freeze({ n: 1 });
    await expect(guardSharedState(instance, async () => instance.n)()).resolves.toBe(1);
  });
});
