import type { JournalEntry } from './journal-entry.js';
import { laneOf } from './shared-starts.js';

export interface JournalLimits {
  /** Maximum number of transitions (changes of runs) in one flush (one write to the database). */
  readonly members: number;
  /** Maximum payload bytes in one flush. */
  readonly flushBytes: number;
  /**
   * Maximum payload bytes that may wait for a flush. Above this limit `ready()` makes callers wait.
   */
  readonly queuedBytes: number;
  /** Milliseconds after which a start is given up when the database cannot be reached. */
  readonly startTimeoutMs: number;
}

export const DEFAULT_JOURNAL_LIMITS: JournalLimits = { members: 500, flushBytes: 4 << 20, queuedBytes: 64 << 20, startTimeoutMs: 30_000 };

/**
 * True when an entry starts a child whose id a deleted run may have had. If rows of the deleted run
 * remain, the flush does not write the entry. The rows are then removed, and a second flush writes
 * the entry. The parent's later transitions, such as its suspension, must not become durable before
 * the entry. So they go into a later flush.
 */
function startsGivenId({ transition }: JournalEntry): boolean {
  return transition.kind === 'wait' && transition.child?.hasGivenId === true;
}

/**
 * Returns everything that at most one flush at a time may write: the runs of the entries, and the
 * keys of starts that share a run, so that the last start of this process wins.
 */
export function lanesOf(entries: readonly JournalEntry[]): Set<string> {
  const lanes = new Set<string>();
  for (const { transition } of entries) {
    lanes.add(transition.runId);
    const lane = laneOf(transition);
    if (lane !== undefined) lanes.add(lane);
  }
  return lanes;
}

/**
 * Takes the oldest entries of the queue, as many as fit into one flush. Entries of a run that
 * another flush is writing stay in the queue, because a run's transitions must become durable in
 * order. Entries of runs whose rows are locked or refused move to `deferred`, so that they do not
 * delay other runs.
 */
export function takeBatch(
  queue: readonly JournalEntry[],
  limits: JournalLimits,
  inFlight: ReadonlySet<string>,
  deferred: ReadonlyMap<string, JournalEntry[]>,
): { taken: JournalEntry[]; rest: JournalEntry[] } {
  const taken: JournalEntry[] = [];
  const left: JournalEntry[] = [];
  // `closed`: runs that get no further entry in this batch. `starting`: runs of which this batch
  // takes only further entries that start a child under a given id.
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
    // PostgreSQL applies only one change of a row per statement, and silently ignores further ones.
    const lane = laneOf(entry.transition);
    if (lane !== undefined && inFlight.has(lane)) {
      left.push(entry);
      continue;
    }
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

/**
 * Splits entries into those that `isWanted` accepts and those that it does not, both in their
 * order.
 */
export function partition(entries: readonly JournalEntry[], isWanted: (entry: JournalEntry) => boolean): [JournalEntry[], JournalEntry[]] {
  const wanted: JournalEntry[] = [];
  const rest: JournalEntry[] = [];
  for (const entry of entries) (isWanted(entry) ? wanted : rest).push(entry);
  return [wanted, rest];
}
