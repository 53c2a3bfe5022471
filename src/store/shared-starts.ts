import type { BatchStart } from '../core/batch-start.js';
import type { NewRun, SharedStart } from '../core/run.js';
import type { Transition } from '../core/transition.js';
import type { FlushRows } from './flush-columns.js';
import { batchMemberRow, sharedStartRow } from './start-columns.js';

type SharedRun = NewRun & { readonly shared: SharedStart };

/**
 * Identifies the run that starts share: starts with equal texts are decided together. A line break
 * separates the parts, and no part contains one.
 */
export function sharedKeyOf({ name, shared: { kind, key } }: SharedRun): string {
  return `${kind}\n${name}\n${key}`;
}

/** Returns the run of a start with `debounce` or `throttle`; otherwise undefined. */
export function sharedRunOf(transition: Transition): SharedRun | undefined {
  return transition.kind === 'start' && transition.run.shared ? (transition.run as SharedRun) : undefined;
}

/**
 * Builds one row for each key. Starts of one flush that share a key have the same effect as one
 * after the other: the run has the id of the first start and, with `debounce`, the input and the
 * options of the last. Rows are sorted by key, so that all flushes lock keys in the same order.
 */
export function addSharedRows(transitions: readonly Transition[], rows: FlushRows): void {
  const merged = new Map<string, SharedRun>();
  for (const transition of transitions) {
    const run = sharedRunOf(transition);
    if (!run) continue;
    const key = sharedKeyOf(run);
    const first = merged.get(key);
    if (!first) merged.set(key, run);
    else if (run.shared.kind === 'debounce') merged.set(key, { ...run, ...identityOf(first), tags: { ...first.tags, ...run.tags } });
  }
  for (const [, run] of [...merged].sort(([a], [b]) => (a < b ? -1 : 1))) {
    rows.sharedStarts.push(sharedStartRow(run, run.shared));
    for (const key of Object.keys(run.tags)) rows.sharedTags.push([run.id, key, run.tags[key]!]);
  }
}

function identityOf({ id, nonce, hasGivenId }: SharedRun): Pick<NewRun, 'id' | 'nonce' | 'hasGivenId'> {
  return { id, nonce, hasGivenId };
}

/** Identifies the batch that members are collected in. The name of the workflow comes with it. */
function batchKeyOf({ version, queue, priority, queueKey }: NewRun): string {
  return `${version}\n${queue}\n${priority}\n${queueKey ?? ''}`;
}

/** Adds the row of a member of a batch. The rows of one key keep the order of the starts. */
export function addMember(run: NewRun, batch: BatchStart, rows: FlushRows): void {
  rows.batchMembers.push(batchMemberRow(run, batch, batchKeyOf(run)));
  for (const key of Object.keys(run.tags)) rows.memberTags.push([run.id, key, run.tags[key]!]);
}

/**
 * Identifies what at most one flush at a time may decide: the shared key of a start, or the batch
 * that collects a member. Undefined for other transitions.
 */
export function laneOf(transition: Transition): string | undefined {
  if (transition.kind !== 'start') return undefined;
  const { run } = transition;
  if (run.batch) return `batch\n${run.name}\n${batchKeyOf(run)}`;
  return run.shared && sharedKeyOf(run as SharedRun);
}
