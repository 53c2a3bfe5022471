import { ANY_VERSION, type DispatchKey } from './run.js';

/** Names of living processes' workflows and queues that a hint mentions. */
const MENTIONED = 3;

/** The most letters by which a misspelt name may differ from the one that was meant. */
const MAX_TYPOS = 2;

/** Longer names are not compared letter by letter. */
const MAX_COMPARED = 100;

/** A dispatch key for people: `"order" version 2 in queue "default"`. */
export function dispatchLabel({ queue, name, version }: DispatchKey): string {
  return `${workflowLabel({ name, version })} in queue "${queue}"`;
}

/** A workflow for people: `"order" version 2`. */
function workflowLabel({ name, version }: Pick<DispatchKey, 'name' | 'version'>): string {
  return version === ANY_VERSION ? `"${name}"` : `"${name}" version ${version}`;
}

/**
 * Suggests why nobody executes a run, from what living processes execute: another queue, another
 * version, or a name that differs by a letter or two.
 *
 * @param served dispatch keys as texts
 * @returns undefined when nothing served resembles the run
 */
export function resembling(key: DispatchKey, served: Iterable<string>): string | undefined {
  const keys = [...served].map(keyOf);
  const versions = (candidates: readonly DispatchKey[]): string => listOf(candidates.map(({ version }) => String(version)));
  const sameName = keys.filter(({ name, version }) => name === key.name && version !== ANY_VERSION);
  const sameWorkflow = sameName.filter(({ version }) => key.version === ANY_VERSION || version === key.version);
  if (sameWorkflow.length > 0) {
    return `it is executed from queue ${listOf(sameWorkflow.map(({ queue }) => `"${queue}"`))}`;
  }
  const sameQueue = sameName.filter(({ queue }) => queue === key.queue);
  if (sameQueue.length > 0) return `what is executed is version ${versions(sameQueue)}`;
  const near = keys.filter(({ name }) => isNear(name, key.name)).map(({ name }) => `"${name}"`);
  return near.length === 0 ? undefined : `the name resembles ${listOf(near)}`;
}

function keyOf(text: string): DispatchKey {
  const [queue = '', name = '', version = ''] = text.split('\n');
  return { queue, name, version: Number(version) };
}

function listOf(names: readonly string[]): string {
  const unique = [...new Set(names)];
  const shown = unique.slice(0, MENTIONED).join(', ');
  return unique.length > MENTIONED ? `${shown} and ${unique.length - MENTIONED} more` : shown;
}

/** Compares names without regard to case; short names must be nearer. */
function isNear(a: string, b: string): boolean {
  if (a.length > MAX_COMPARED || b.length > MAX_COMPARED) return false;
  const most = Math.min(MAX_TYPOS, Math.floor(Math.max(a.length, b.length) / 3));
  return Math.abs(a.length - b.length) <= most && distance(a.toLowerCase(), b.toLowerCase()) <= most;
}

/** Letters to insert, remove, replace or swap with their neighbour. */
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

/** Tells quickly, and without making a text, whether a run is among the dispatch keys that were served at the last look. */
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
