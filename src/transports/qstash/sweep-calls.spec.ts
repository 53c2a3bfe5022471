import { describe, expect, it } from '@jest/globals';

import type { QStashApi } from './api.js';
import type { QStashSettings } from './settings.js';
import { SweepCalls } from './sweep-calls.js';

describe('calls of a part of the sweep', () => {
  const newCalls = (): { calls: SweepCalls; sent: number[] } => {
    const sent: number[] = [];
    const api = { callSweep: async (_part: string, at: number) => void sent.push(at) } as unknown as QStashApi;
    const settings = { maxDelayMs: 3_600_000, sweepCron: '* * * * *' } as QStashSettings;
    return { calls: new SweepCalls(api, settings, 'queues', () => undefined), sent };
  };

  it('are not asked for while an earlier one is on its way, and are once it has come', async () => {
    const { calls, sent } = newCalls();
    await calls.announceSoon(2_000, 500);
    await calls.announceSoon(600_000, 500);
    expect(sent).toEqual([2_000]);
    await calls.announceSoon(600_000, 2_001);
    expect(sent).toEqual([2_000, 600_000]);
  });

  it('are asked for once, also when earlier ones are needed meanwhile', async () => {
    const { calls, sent } = newCalls();
    await calls.announceSoon(600_000, 500);
    await calls.announceSoon(1_500, 600);
    await calls.announceSoon(600_000, 2_001);
    expect(sent).toEqual([600_000, 2_000]);
  });

  it('continue without a sweep until a time that is further away than a message may be delayed', async () => {
    const delays: number[] = [];
    const api = { callSweep: async (_part: string, _at: number, delayMs: number) => void delays.push(delayMs) } as unknown as QStashApi;
    const calls = new SweepCalls(api, { maxDelayMs: 3_600_000, sweepCron: undefined } as QStashSettings, 'queues', () => undefined);
    await calls.announceSoon(9_000_000, 500);
    await calls.announceSoon(9_000_000, 3_600_600);
    await calls.announceSoon(9_000_000, 7_200_700);
    expect(delays).toEqual([3_600_000, 3_600_000, 1_799_300]);
  });
});
