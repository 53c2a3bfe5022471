import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';

import { Workflow, WorkflowCancelledError, type Duration, type WorkflowContext } from '../../../src/index.js';
import { closeApplications, startApplication } from '../../support/application.js';
import { createTestDatabase, type TestDatabase } from '../../support/database.js';
import { seconds, waitFor } from '../../support/wait.js';

let bodies = 0;
let release: (() => void) | undefined;

@Workflow({ name: 'tidy' })
class TidyWorkflow {
  async run(before: Duration | '', ctx: WorkflowContext): Promise<void> {
    try {
      await ctx.sleep('1 day');
    } finally {
      if (before !== '') await ctx.sleep(before);
      await ctx.step('tidy', () => {
        bodies++;
        return new Promise<void>((resolve) => (release = resolve));
      });
    }
  }
}

describe('a cancelled run that cleans up', () => {
  let database: TestDatabase;
  beforeAll(async () => {
    database = await createTestDatabase();
  });
  beforeEach(() => {
    bodies = 0;
    release = undefined;
  });
  afterEach(closeApplications);
  afterAll(() => database.drop());

  const boot = () => startApplication(database.url, [TidyWorkflow], { worker: { suspendAfter: 10, shutdownTimeout: 10 } });
  const cancelled = async (before: Duration | '') => {
    const application = await boot();
    const handle = await application.client.start(TidyWorkflow, before);
    await waitFor(async () => (await handle.status()) === 'waiting');
    await handle.cancel();
    return { application, handle };
  };
  /**
   * Moves all records of the run into the past, including its start: a worker that suspended the
   * run identifies the cached history by the time of the start.
   */
  const age = (runId: string, by: string): Promise<unknown[]> =>
    database.query(`WITH aged AS (
        UPDATE durable.workflow_steps SET started_at = started_at - interval '${by}', finished_at = finished_at - interval '${by}' WHERE run_id = '${runId}'
      ), waits AS (
        UPDATE durable.workflow_waits SET opened_at = opened_at - interval '${by}', wake_at = wake_at - interval '${by}' WHERE run_id = '${runId}'
      )
      UPDATE durable.workflow_runs SET started_at = started_at - interval '${by}', wake_at = wake_at - interval '${by}' WHERE id = '${runId}'`);
  const keys = async (runId: string): Promise<string[]> =>
    (await database.query('SELECT step_key FROM durable.workflow_steps WHERE run_id = $1 ORDER BY seq', [runId])).map(
      (row) => row.step_key,
    );

  it('gets its full clean-up time after a downtime of the worker that was longer than that time', async () => {
    const { application, handle } = await cancelled('');
    await waitFor(() => bodies === 1);
    await application.close();
    await age(handle.runId, '2 hours');
    const { client } = await boot();
    await waitFor(() => bodies === 2);
    release!();
    await expect(client.getHandle(TidyWorkflow, handle.runId).result({ timeout: seconds(5) })).rejects.toBeInstanceOf(
      WorkflowCancelledError,
    );
    expect(await keys(handle.runId)).toEqual(['$cancel', 'tidy']);
  });

  it('gets the rest of its clean-up time when its worker was down past that time while the run was suspended', async () => {
    const { application, handle } = await cancelled('10s');
    await suspendedAgain(handle.runId);
    await application.close();
    await age(handle.runId, '2 hours');
    const { client } = await boot();
    await waitFor(() => bodies === 1);
    release!();
    await expect(client.getHandle(TidyWorkflow, handle.runId).result({ timeout: seconds(5) })).rejects.toBeInstanceOf(
      WorkflowCancelledError,
    );
    expect(await keys(handle.runId)).toEqual(['$cancel', 'sleep#2', 'tidy']);
    expect(await database.query('SELECT * FROM durable.workflow_waits')).toEqual([]);
  });

  it('ends at the end of its clean-up time when it sleeps for longer', async () => {
    const { handle } = await cancelled('1h');
    await suspendedAgain(handle.runId);
    const { wakeAt, waits } = await handle.describe();
    expect(waits).toContainEqual({ stepKey: '$cancel', kind: 'grace', wakeAt: expect.any(Date), attempts: 1 });
    expect(wakeAt!.getTime()).toBeLessThan(Date.now() + 30_000);
    await age(handle.runId, '1 minute');
    await expect(handle.result({ timeout: seconds(5) })).rejects.toBeInstanceOf(WorkflowCancelledError);
    expect(await keys(handle.runId)).toEqual(['$cancel']);
    expect(bodies).toBe(0);
  });

  const suspendedAgain = (runId: string) =>
    waitFor(async () => {
      const sql = `SELECT 1 FROM durable.workflow_runs r WHERE id = $1 AND status = 'waiting'
        AND EXISTS (SELECT 1 FROM durable.workflow_waits WHERE run_id = r.id AND kind = 'grace')`;
      return (await database.query(sql, [runId])).length === 1;
    });
});
