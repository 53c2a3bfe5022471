import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';

import { JournalFixture } from '../../test/support/faults/journal-fixture.js';
import { Database } from './database.js';
import { deleteTrees } from './run-deletion.js';
import { deleteRuns } from './sql/delete-runs.js';
import { findTrees, MAX_TREE_RUNS } from './sql/run-trees.js';

describe('the deletion of large families', () => {
  let fixture: JournalFixture;
  let database: Database;
  beforeAll(async () => {
    fixture = await JournalFixture.create();
    database = new Database({ connectionString: fixture.admin.url }, { poolSize: 2 });
  });
  beforeEach(() => fixture.admin.query('TRUNCATE durable.workflow_runs'));
  afterAll(async () => {
    await database.close();
    await fixture.close();
  });

  it.each([
    [MAX_TREE_RUNS - 3, 'some grandchildren'],
    [MAX_TREE_RUNS - 1, 'one grandchild'],
    [MAX_TREE_RUNS + 1, 'no grandchild'],
  ])('reads a family with %d children a few times at most, when the first query returns %s', async (children) => {
    await fixture.admin.query(
      `INSERT INTO durable.workflow_runs (id, name, version, queue, status, created_at, finished_at, start_nonce, input, parent_run_id)
      SELECT id, 'order', 1, 'default', 'completed', now(), now(), 1, '{}'::json, parent FROM generate_series(1, $1::int) AS n
      CROSS JOIN LATERAL (VALUES ('root-' || n, 'root'), ('root-' || n || '-child', 'root-' || n)) AS family(id, parent)
      UNION ALL SELECT 'root', 'order', 1, 'default', 'completed', now(), now(), 1, '{}', NULL`,
      [children],
    );
    let read = 0;
    const { deleted, incomplete } = await deleteTrees([{ id: 'root' }], {
      find: async (roots) => {
        const found = await findTrees(database, roots);
        read += found.length;
        // Fails at once, instead of reading the family thousands of times.
        expect(read).toBeLessThan(8 * MAX_TREE_RUNS);
        return found;
      },
      remove: (runs) => deleteRuns(database, runs, 'leave out'),
    });
    expect(incomplete.size).toBe(0);
    expect(deleted.size).toBe(2 * children + 1);
    expect(await fixture.admin.query('SELECT 1 FROM durable.workflow_runs LIMIT 1')).toEqual([]);
  });

  it('ends when the parents of runs form a circle, because ids were used again', async () => {
    await fixture.admin.query(
      `INSERT INTO durable.workflow_runs (id, name, version, queue, status, created_at, finished_at, start_nonce, input, parent_run_id)
      SELECT id, 'order', 1, 'default', 'completed', now(), now(), 1, '{}', parent FROM (VALUES ('a', 'b'), ('b', 'a'), ('c', 'b')) AS circle(id, parent)`,
    );
    let queries = 0;
    const { deleted, incomplete } = await deleteTrees([{ id: 'a' }], {
      find: (roots) => {
        expect(++queries).toBeLessThan(10);
        return findTrees(database, roots);
      },
      remove: (runs) => deleteRuns(database, runs, 'leave out'),
    });
    expect(incomplete.size).toBe(0);
    expect([...deleted].sort()).toEqual(['a', 'b', 'c']);
  });
});
