import { MAX_TREE_RUNS, type TreeRoot, type TreeRun } from './sql/run-trees.js';

/** Maximum number of runs, and of bytes of their histories, that one statement deletes. */
const MAX_CHUNK_RUNS = 200;
const MAX_CHUNK_BYTES = 8 << 20;

/** Statements with which runs are found and deleted. */
export interface DeletionSteps {
  /** Finds runs and the ended runs below them, at most `MAX_TREE_RUNS` besides the roots. */
  find(roots: readonly TreeRoot[]): Promise<readonly TreeRun[]>;
  /** Deletes runs, and returns the ids of those that were deleted. */
  remove(runs: readonly TreeRun[]): Promise<readonly string[]>;
}

/** Result of a deletion. */
export interface Deletion {
  /** Ids of all deleted runs. */
  readonly deleted: Set<string>;
  /** Ids of the given runs that were found, because they have ended. */
  readonly found: Set<string>;
  /** Ids of the given runs of which a part could not be deleted. These runs themselves stay. */
  readonly incomplete: Set<string>;
}

/**
 * Deletes ended runs and the ended runs below them, in small statements. Children are deleted
 * before their parents: if the process dies in between, the parent still leads to the rest.
 */
export async function deleteTrees(roots: readonly TreeRoot[], steps: DeletionSteps): Promise<Deletion> {
  const result: Deletion = { deleted: new Set(), found: new Set(), incomplete: new Set() };
  for (;;) {
    const runs = await steps.find(roots);
    for (const { root } of runs) result.found.add(root);
    if (runs.length < MAX_TREE_RUNS + roots.length) {
      await deleteFound(runs, steps, result);
      return result;
    }
    if (roots.length > 1 && roots.some(({ ways }) => ways === 'both')) {
      // Two roots may be runs of one chain, which they follow in opposite directions. The deletion
      // of a part of one root would cut off the other from runs between them.
      for (const root of roots) {
        const { deleted, incomplete } = await deleteTrees([root], steps);
        for (const id of deleted) result.deleted.add(id);
        for (const id of incomplete) result.incomplete.add(id);
      }
      return result;
    }
    // There are more runs than one query returns. Delete one generation with all below it, then
    // look again. Of the lowest generation, the query may return only a few runs. So the part is
    // the generation above it.
    const lowest = Math.max(...runs.map(({ depth }) => depth));
    const partDepth = Math.max(lowest - 1, 1);
    const part = runs.filter(({ depth }) => depth === partDepth);
    const below = await deleteTrees(part, steps);
    for (const id of below.deleted) result.deleted.add(id);
    if (part.every(({ id }) => below.deleted.has(id))) continue;
    for (const { root } of runs) result.incomplete.add(root);
    return result;
  }
}

async function deleteFound(runs: readonly TreeRun[], steps: DeletionSteps, { deleted, incomplete }: Deletion): Promise<void> {
  const depths = [...new Set(runs.map(({ depth }) => depth))].sort((a, b) => b - a);
  for (const depth of depths) {
    const level = runs.filter((run) => run.depth === depth && !incomplete.has(run.root) && !deleted.has(run.id));
    for (const chunk of chunksOf(level)) {
      for (const id of await steps.remove(chunk)) deleted.add(id);
      for (const { id, root } of chunk) if (!deleted.has(id)) incomplete.add(root);
    }
  }
}

function chunksOf(runs: readonly TreeRun[]): TreeRun[][] {
  const chunks: TreeRun[][] = [];
  let bytes = 0;
  for (const run of runs) {
    const last = chunks.at(-1);
    if (last && last.length < MAX_CHUNK_RUNS && bytes + run.bytes <= MAX_CHUNK_BYTES) last.push(run);
    else {
      chunks.push([run]);
      bytes = 0;
    }
    bytes += run.bytes;
  }
  return chunks;
}
