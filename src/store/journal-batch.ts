import type { JournalEntry } from './journal-entry.js';

export interface JournalLimits {
  /** Maximum number of transitions in one flush. */
  readonly members: number;
  /** Maximum payload bytes in one flush. */
  readonly flushBytes: number;
  /** Payload bytes that may wait. Beyond this limit `ready()` holds callers back. */
  readonly queuedBytes: number;
  /** Milliseconds for which a start is tried while the database cannot be reached. */
  readonly startTimeoutMs: number;
}

export const DEFAULT_JOURNAL_LIMITS: JournalLimits = { members: 500, flushBytes: 4 << 20, queuedBytes: 64 << 20, startTimeoutMs: 30_000 };

/**
 * True when an entry starts a child under an id that may have been used before. Such an entry may
 * have to be written twice. So its parent's next transitions, above all a suspension, must be
 * written after it.
 */
function startsGivenId({ transition }: JournalEntry): boolean {
  return transition.kind === 'wait' && transition.child?.hasGivenId === true;
}

/**
 * Takes the oldest entries of the queue, as many as fit into one flush. Entries of runs in flight
 * stay in the queue, so that a run's transitions become durable in their order. Entries of deferred
 * runs move to the deferred entries.
 */
export function takeBatch(
  queue: readonly JournalEntry[],
  limits: JournalLimits,
  inFlight: ReadonlySet<string>,
  deferred: ReadonlyMap<string, JournalEntry[]>,
): { taken: JournalEntry[]; rest: JournalEntry[] } {
  const taken: JournalEntry[] = [];
  const left: JournalEntry[] = [];
  // Runs of which the batch takes nothing more, and runs of which it takes only such children.
  const closed = new Set<string>();
  const starting = new Set<string>();
  let bytes = 0;
  let index = 0;
  for (; index < queue.length && taken.length < limits.members; index++) {
    const entry = queue[index]!;
    const { kind, runId } = entry.transition;
    const waiting = deferred.get(runId);
    if (waiting) {
      waiting.push(entry);
      continue;
    }
    // PostgreSQL applies one change of a row per statement and silently drops the others.
    if (inFlight.has(runId) || closed.has(runId) || (starting.has(runId) && !startsGivenId(entry))) {
      closed.add(runId);
      left.push(entry);
      continue;
    }
    if (bytes > 0 && bytes + entry.bytes > limits.flushBytes) break;
    if (kind === 'change') closed.add(runId);
    else if (kind === 'wait' && startsGivenId(entry)) starting.add(runId);
    bytes += entry.bytes;
    taken.push(entry);
  }
  return { taken, rest: left.concat(queue.slice(index)) };
}

/** Splits entries into those that `isWanted` accepts and the rest, both in their order. */
export function partition(entries: readonly JournalEntry[], isWanted: (entry: JournalEntry) => boolean): [JournalEntry[], JournalEntry[]] {
  const wanted: JournalEntry[] = [];
  const rest: JournalEntry[] = [];
  for (const entry of entries) (isWanted(entry) ? wanted : rest).push(entry);
  return [wanted, rest];
}
