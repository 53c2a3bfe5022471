import { describe, expect, it } from '@jest/globals';

import type { Transition } from '../core/transition.js';
import { DEFAULT_JOURNAL_LIMITS, takeBatch } from './journal-batch.js';
import { sizeOf, type JournalEntry } from './journal-entry.js';

function change(runId: string): JournalEntry {
  const transition: Transition = { kind: 'change', runId, epoch: 1, change: { status: 'pending' }, historyBytes: 0 };
  const ignore = (): void => undefined;
  return { transition, bytes: sizeOf(transition), sessionId: '1', since: 0, done: ignore, failed: ignore };
}

const none = { inFlight: new Set<string>(), deferred: new Map<string, JournalEntry[]>() };
const idsOf = (entries: readonly JournalEntry[]): string[] => entries.map((entry) => entry.transition.runId);

describe('a flush', () => {
  it('contains at most one change of a run; the next ones wait in their order', () => {
    const { taken, rest } = takeBatch(
      [change('a'), change('a'), change('b'), change('a')],
      DEFAULT_JOURNAL_LIMITS,
      none.inFlight,
      none.deferred,
    );
    expect(idsOf(taken)).toEqual(['a', 'b']);
    expect(idsOf(rest)).toEqual(['a', 'a']);
  });

  it('contains no transition of a run that another flush contains', () => {
    const { taken, rest } = takeBatch([change('a'), change('b')], DEFAULT_JOURNAL_LIMITS, new Set(['a']), none.deferred);
    expect(idsOf(taken)).toEqual(['b']);
    expect(idsOf(rest)).toEqual(['a']);
  });

  it('adds a transition of a deferred run to the deferred transitions', () => {
    const deferred = new Map<string, JournalEntry[]>([['a', []]]);
    const { taken, rest } = takeBatch([change('a'), change('b')], DEFAULT_JOURNAL_LIMITS, none.inFlight, deferred);
    expect(idsOf(taken)).toEqual(['b']);
    expect(rest).toEqual([]);
    expect(idsOf(deferred.get('a')!)).toEqual(['a']);
  });

  it('is limited in transitions and bytes, but never empty', () => {
    const entries = [change('a'), change('b'), change('c')];
    expect(takeBatch(entries, { ...DEFAULT_JOURNAL_LIMITS, members: 2 }, none.inFlight, none.deferred).taken).toHaveLength(2);
    expect(takeBatch(entries, { ...DEFAULT_JOURNAL_LIMITS, flushBytes: 1 }, none.inFlight, none.deferred).taken).toHaveLength(1);
  });
});
