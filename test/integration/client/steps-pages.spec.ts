import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';

import { InvalidInputError, NonRetryableError, Workflow, type WorkflowClient, type WorkflowContext } from '../../../src/index.js';
import { closeApplications, startApplication } from '../../support/application.js';
import { createTestDatabase, type TestDatabase } from '../../support/database.js';

@Workflow({ name: 'counted' })
class Counted {
  async run(steps: number, ctx: WorkflowContext): Promise<void> {
    for (let n = 1; n <= steps; n++) await ctx.step(`step ${n}`, () => n);
    await ctx.step('charge', () => {
      throw new NonRetryableError('no money');
    });
  }
}

describe('the steps of a run', () => {
  let database: TestDatabase;
  let client: WorkflowClient;
  beforeAll(async () => {
    database = await createTestDatabase();
    ({ client } = await startApplication(database.url, [Counted]));
  });
  afterAll(async () => {
    await closeApplications();
    await database.drop();
  });

  const failed = async (id: string, steps: number): Promise<void> => {
    await expect(client.execute(Counted, steps, { id })).rejects.toThrow();
  };
  /** Gives a failed run many more results. */
  const grow = (id: string, count: number, output: string): Promise<unknown> =>
    database.query(
      `INSERT INTO durable.workflow_steps (run_id, step_key, epoch, kind, seq, status, output, attempts, called_after, called_after_io, started_at, finished_at)
      SELECT $1, 'more ' || n, 1, 'step', 1000 + n, 'completed', $3::json, 1, 1, false, now(), now() FROM generate_series(1, $2::int) AS n`,
      [id, count, output],
    );

  it('are read in pages, and invalid page options are refused', async () => {
    await failed('paged', 5);
    const all = (await client.steps('paged')).map(({ stepKey }) => stepKey);
    expect(all).toHaveLength(6);
    const read: string[] = [];
    for (let after = 0; ;) {
      const page = await client.steps('paged', { after, limit: 4 });
      if (page.length === 0) break;
      expect(page.length).toBeLessThanOrEqual(4);
      read.push(...page.map(({ stepKey }) => stepKey));
      after = page.at(-1)!.seq;
    }
    expect(read).toEqual(all);
    for (const options of [{ limit: 0 }, { limit: 10_001 }, { limit: 1.5 }, { after: -1 }, { limit: '5' as never }]) {
      await expect(client.steps('paged', options)).rejects.toBeInstanceOf(InvalidInputError);
    }
  });

  it('need a limit when there are more than 10,000', async () => {
    await failed('many', 1);
    await grow('many', 10_000, '1');
    await expect(client.steps('many')).rejects.toMatchObject({ code: 'INVALID_INPUT', argument: 'options.limit' });
    expect(await client.steps('many', { limit: 10_000 })).toHaveLength(10_000);
  });

  it('need a limit when their results exceed 64 MiB, and a page ends at that size', async () => {
    await failed('large', 1);
    await grow('large', 9, JSON.stringify('x'.repeat(8 << 20)));
    await expect(client.steps('large')).rejects.toMatchObject({ argument: 'options.limit' });
    expect(await client.steps('large', { limit: 100 })).toHaveLength(10);
    // A retry looks only at steps that have failed.
    await client.retry('large');
    const events = await database.query<{ step_key: string }>(
      `SELECT step_key FROM durable.workflow_run_log WHERE run_id = 'large' AND kind = 'retried'`,
    );
    expect(events).toEqual([{ step_key: 'charge' }]);
  });
});
