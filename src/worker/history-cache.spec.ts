import { describe, expect, it } from '@jest/globals';

import type { OwnedRun } from '../core/run.js';
import type { History, StepRecord } from '../core/step.js';
import { HistoryCache } from './history-cache.js';

const KIB = 1_024;

function runOf(id: string, epoch = 1, more: Partial<OwnedRun> = {}): OwnedRun {
  const fixed = { queue: 'default', name: 'order', version: 1, input: '{}', wakeCount: 0, losses: 0, parent: null, deadlineAt: null };
  return { ...fixed, id, epoch, startedAt: 1, historyBytes: 0, generation: 0, seedId: id, ...more };
}

function stepOf(seq: number, bytes = 1): StepRecord {
  const fixed = { status: 'completed', error: null, attempts: 1, calledAfter: 0, calledAfterIo: false, argsHash: null } as const;
  return { ...fixed, stepKey: `step#${seq}`, kind: 'step', seq, output: 'x'.repeat(bytes), startedAt: 0, finishedAt: 0 };
}

const historyOf = (steps: number, bytes = 1): History => ({
  steps: Array.from({ length: steps }, (_, index) => stepOf(index + 1, bytes)),
  waits: [],
});

/** Adds a run with this history to the cache, as if the run had been executed and suspended. */
function rest(cache: HistoryCache, run: OwnedRun, history: History): void {
  const known = cache.follow(run, history);
  if (known) cache.keep(known);
}

describe('HistoryCache', () => {
  it.each([
    ['the whole history for the next epoch', {}, 2, undefined],
    ['where the history to load begins for a later epoch', {}, 5, 3],
    ['nothing for the same epoch, which a failover has assigned again', {}, 1, 'unknown'],
    ['nothing after a retry', { generation: 1 }, 2, 'unknown'],
    ['nothing for a run that was deleted and started again', { startedAt: 2 }, 2, 'unknown'],
  ])('returns %s', (_, more, epoch, loadAfter) => {
    const cache = new HistoryCache();
    rest(cache, runOf('a'), historyOf(3));
    const part = cache.takeAll([runOf('a', epoch, more)]).get('a');
    if (loadAfter === 'unknown') return expect(part).toBeUndefined();
    expect(part).toMatchObject({ history: historyOf(3), loadAfter });
  });

  it('adds the steps and waits of a run that become durable', () => {
    const cache = new HistoryCache();
    const known = cache.follow(runOf('a'), historyOf(1))!;
    const wait = { stepKey: 'sleep', kind: 'sleep', name: null, wakeAt: 10.4, attempts: 0, openedAt: 5 } as const;
    known.opened(wait);
    known.opened({ ...wait, wakeAt: 99 });
    known.opened({ ...wait, stepKey: 'other' });
    known.recorded({ step: stepOf(2), closesWait: false, takes: null });
    known.closed('other');
    cache.keep(known);
    const part = cache.takeAll([runOf('a', 2)]).get('a');
    expect(part?.history.steps.map(({ seq }) => seq)).toEqual([1, 2]);
    expect(part?.history.waits).toEqual([{ ...wait, wakeAt: 10 }]);
  });

  it('drops the run that was suspended first when its memory is full', () => {
    const cache = new HistoryCache({ bytes: 10 * KIB, runs: 100 });
    for (const id of ['a', 'b', 'c']) rest(cache, runOf(id), historyOf(1, 4 * KIB));
    const kept = cache.takeAll(['a', 'b', 'c'].map((id) => runOf(id, 2)));
    expect([...kept.keys()]).toEqual(['b', 'c']);
  });

  it('drops a run that becomes too large while it is executed', () => {
    const cache = new HistoryCache({ bytes: 10 * KIB, runs: 100 });
    const known = cache.follow(runOf('a'), historyOf(1, 4 * KIB))!;
    known.recorded({ step: stepOf(2, 8 * KIB), closesWait: false, takes: null });
    cache.keep(known);
    expect(cache.takeAll([runOf('a', 2)]).size).toBe(0);
    expect(cache.follow(runOf('b'), historyOf(1, 9 * KIB))).toBeDefined();
  });

  it('keeps no more runs than its limit', () => {
    const cache = new HistoryCache({ bytes: 10 * KIB, runs: 2 });
    for (const id of ['a', 'b', 'c']) rest(cache, runOf(id), historyOf(1));
    expect([...cache.takeAll(['a', 'b', 'c'].map((id) => runOf(id, 2))).keys()]).toEqual(['b', 'c']);
  });

  it('does not follow a run that is being cancelled', () => {
    const grace = { stepKey: '$grace', kind: 'grace', name: null, wakeAt: 0, attempts: 0, openedAt: 0 } as const;
    expect(new HistoryCache().follow(runOf('a'), { steps: [], waits: [grace] })).toBeUndefined();
  });
});
