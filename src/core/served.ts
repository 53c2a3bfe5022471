import { ANY_VERSION, type DispatchKey } from './run.js';

/** Largest number of names, queues or versions that a hint lists. */
const MAX_MENTIONED = 3;

/** Largest number of letters by which a misspelt name may differ from the intended name. */
const MAX_TYPOS = 2;

/**
 * Longest name that is compared letter by letter. The cost of a comparison grows with the square of
 * the length.
 */
const MAX_COMPARED = 100;

/** Returns a dispatch key in words: `"order" version 2 in queue "default"`. */
export function dispatchLabel({ queue, name, version }: DispatchKey): string {
  return `${workflowLabel({ name, version })} in queue "${queue}"`;
}

/** Returns a workflow in words: `"order" version 2`. */
function workflowLabel({ name, version }: Pick<DispatchKey, 'name' | 'version'>): string {
  return version === ANY_VERSION ? `"${name}"` : `"${name}" version ${version}`;
}

/** Likely reason why no worker executes a run, and advice. */
export interface ServedHint {
  /** Reason in words, such as `live workers execute version 2`. */
  readonly reason: string;
  /** Advice as a sentence without its full stop. */
  readonly remedy: string;
}

/**
 * Explains why no worker executes a run. Live workers may execute the workflow from another queue,
 * in another version, or under a name that differs by a letter or two.
 *
 * @param served dispatch keys that live workers serve, as texts from `dispatchKeyText`
 * @returns undefined when no live worker executes a similar workflow
 */
export function servedHint(key: DispatchKey, served: Iterable<string>): ServedHint | undefined {
  const keys = [...served].map(keyOf);
  const versions = (candidates: readonly DispatchKey[]): string => listOf(candidates.map(({ version }) => String(version)));
  const sameName = keys.filter(({ name, version }) => name === key.name && version !== ANY_VERSION);
  const sameWorkflow = sameName.filter(({ version }) => key.version === ANY_VERSION || version === key.version);
  if (sameWorkflow.length > 0) {
    return {
      reason: `live workers execute it from queue ${listOf(sameWorkflow.map(({ queue }) => `"${queue}"`))}`,
      remedy: `Correct the queue, or add "${key.queue}" to \`worker.queues\``,
    };
  }
  const sameQueue = sameName.filter(({ queue }) => queue === key.queue);
  if (sameQueue.length > 0) {
    return { reason: `live workers execute version ${versions(sameQueue)}`, remedy: `Deploy ${workflowLabel(key)} as well` };
  }
  const near = keys.filter(({ name }) => isNear(name, key.name)).map(({ name }) => `"${name}"`);
  if (near.length === 0) return undefined;
  return { reason: `the name resembles ${listOf(near)}`, remedy: `Correct the name, or deploy a workflow named "${key.name}"` };
}

function keyOf(text: string): DispatchKey {
  const [queue = '', name = '', version = ''] = text.split('\n');
  return { queue, name, version: Number(version) };
}

function listOf(names: readonly string[]): string {
  const unique = [...new Set(names)];
  const shown = unique.slice(0, MAX_MENTIONED).join(', ');
  return unique.length > MAX_MENTIONED ? `${shown} and ${unique.length - MAX_MENTIONED} more` : shown;
}

/**
 * True when two names, ignoring case, differ by at most `MAX_TYPOS` letters and by at most a third
 * of their letters.
 */
function isNear(a: string, b: string): boolean {
  if (a.length > MAX_COMPARED || b.length > MAX_COMPARED) return false;
  const most = Math.min(MAX_TYPOS, Math.floor(Math.max(a.length, b.length) / 3));
  return Math.abs(a.length - b.length) <= most && distance(a.toLowerCase(), b.toLowerCase()) <= most;
}

/**
 * Returns the least number of edits that turn `a` into `b`. An edit inserts, removes or replaces a
 * letter, or swaps two neighbours.
 */
function distance(a: string, b: string): number {
  let before: number[] = [];
  let last = Array.from({ length: b.length + 1 }, (_, column) => column);
  for (let row = 1; row <= a.length; row++) {
    const next = [row];
    for (let column = 1; column <= b.length; column++) {
      const same = a[row - 1] === b[column - 1] ? 0 : 1;
      const cost = Math.min(last[column]! + 1, next[column - 1]! + 1, last[column - 1]! + same);
      const isSwap = row > 1 && column > 1 && a[row - 1] === b[column - 2] && a[row - 2] === b[column - 1];
      next.push(isSwap ? Math.min(cost, before[column - 2]! + 1) : cost);
    }
    before = last;
    last = next;
  }
  return last[b.length]!;
}

/**
 * Dispatch keys that live workers served when the database was last queried. The keys are grouped
 * by workflow name, so that `has` is fast and need not build the text of a key.
 */
export class ServedKeys {
  private byName = new Map<string, DispatchKey[]>();

  replace(served: Iterable<string>): void {
    this.byName = new Map();
    for (const text of served) {
      const key = keyOf(text);
      const others = this.byName.get(key.name);
      if (others) others.push(key);
      else this.byName.set(key.name, [key]);
    }
  }

  has({ queue, name, version }: DispatchKey): boolean {
    const keys = this.byName.get(name);
    return keys !== undefined && keys.some((key) => key.queue === queue && key.version === version);
  }
}
