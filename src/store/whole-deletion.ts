import type { Database } from './database.js';
import { deleteTrees, type Deletion } from './run-deletion.js';
import type { PartClient, PartDone } from './sql/bulk-operation-parts.js';
import { deleteRuns } from './sql/delete-runs.js';
import { findTrees } from './sql/run-trees.js';

/**
 * Deletes the ended ones of the given runs, each with its chain and its ended children. Deletes
 * nothing when a part of one run cannot be deleted now.
 *
 * @param client client with an open transaction
 * @param whereLocked reaction to a run whose row is locked; `fail` throws the lock error
 */
export async function deleteAllOrNone(
  database: Database,
  ids: readonly string[],
  whereLocked: 'fail' | 'leave out',
  client: PartClient,
): Promise<Deletion> {
  await client.query('SAVEPOINT durable_deletion');
  const deletion = await deleteTrees(
    ids.map((id) => ({ id, ways: 'both' })),
    {
      find: (roots) => findTrees(database, roots, undefined, client),
      remove: (runs) => deleteRuns(database, runs, whereLocked, client),
    },
  );
  await client.query(deletion.incomplete.size > 0 ? 'ROLLBACK TO SAVEPOINT durable_deletion' : 'RELEASE SAVEPOINT durable_deletion');
  return deletion;
}

/**
 * Deletes the runs of one part of a bulk operation. A run of which a part is locked stays as a
 * whole, and counts as locked.
 *
 * @param client client whose open transaction executes the part
 */
export async function deletePart(database: Database, ids: readonly string[], client: PartClient): Promise<PartDone> {
  let deletions = [await deleteAllOrNone(database, ids, 'leave out', client)];
  if (deletions[0]!.incomplete.size > 0) {
    deletions = [];
    for (const id of ids) deletions.push(await deleteAllOrNone(database, [id], 'leave out', client));
  }
  const found = new Set(deletions.flatMap((each) => [...each.found]));
  const locked = deletions.flatMap(({ incomplete }) => [...incomplete]);
  const deleted = new Set(deletions.flatMap((each) => (each.incomplete.size > 0 ? [] : [...each.deleted])));
  const skipped = ids.filter((id) => !found.has(id) && !deleted.has(id)).length;
  return { done: deleted.size, skipped, locked };
}
