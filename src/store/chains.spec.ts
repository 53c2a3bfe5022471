import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';

import { JournalFixture, type OpenJournal } from '../../test/support/faults/journal-fixture.js';
import { currentRunSql } from './sql/chains.js';

const LENGTH = 3_000;

describe('a chain of continued runs', () => {
  let fixture: JournalFixture;
  let open: OpenJournal;
  beforeAll(async () => {
    fixture = await JournalFixture.create();
    open = await fixture.journal();
    await fixture.admin.query(`INSERT INTO durable.workflow_runs
      (id, name, version, queue, status, created_at, finished_at, ready_at, start_nonce, chain_nonce, continued_as, continued_from, input)
      SELECT 'run-' || n, 'loop', 1, 'default', CASE WHEN n < ${LENGTH} THEN 'completed' ELSE 'pending' END, now(),
        CASE WHEN n < ${LENGTH} THEN now() END, now(), 1000 + n, CASE WHEN n > 1 THEN 1001 END,
        CASE WHEN n < ${LENGTH} THEN 'run-' || (n + 1) END, CASE WHEN n > 1 THEN 'run-' || (n - 1) END, 'null'
      FROM generate_series(1, ${LENGTH}) AS n`);
    await fixture.admin
      .query(`INSERT INTO durable.workflow_runs (id, name, version, queue, status, created_at, ready_at, start_nonce, input)
      VALUES ('alone', 'loop', 1, 'default', 'pending', now(), now(), 1, 'null')`);
  });
  afterAll(() => fixture.close());

  const current = async (id: string): Promise<string | undefined> => {
    const text = (schema: string): string => `SELECT id FROM ${currentRunSql(schema, '$1', 'id')} AS current`;
    const [row] = await open.database.query<[string]>({ name: 'test_current_run', text }, [id]);
    return row?.[0];
  };

  it.each(['run-1', 'run-2', `run-${LENGTH - 1}`, `run-${LENGTH}`])('resolves the id %s to the current run', async (id) => {
    expect(await current(id)).toBe(`run-${LENGTH}`);
  });

  it('resolves a run that was never continued to itself, and a missing run to nothing', async () => {
    expect(await current('alone')).toBe('alone');
    expect(await current('nobody')).toBeUndefined();
  });

  it('costs two index lookups for 3,000 runs', async () => {
    const plan = await open.database.query<[string]>(
      {
        name: 'test_explain_current_run',
        text: (schema) => `EXPLAIN (ANALYZE, BUFFERS, COSTS OFF) SELECT id FROM ${currentRunSql(schema, '$1', 'id')} AS current`,
      },
      ['run-1'],
    );
    const all = plan.map(([line]) => line);
    // Planning reads the catalog, which is no cost of the lookup.
    const lines = all
      .slice(
        0,
        all.findIndex((line) => line.startsWith('Planning')),
      )
      .join('\n');
    const blocks = [...lines.matchAll(/shared hit=(\d+)/g)].map(([, hit]) => Number(hit));
    expect(lines).toContain('workflow_runs_chain_idx');
    expect(lines).not.toContain('Seq Scan');
    expect(Math.max(...blocks)).toBeLessThan(30);
  });
});
