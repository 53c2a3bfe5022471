import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';

import { currentStep, Workflow, type WorkflowContext } from '../../src/index.js';
import { closeApplications } from '../support/application.js';
import { createTestDatabase, type TestDatabase } from '../support/database.js';
import { startPushed } from '../support/pushed-application.js';
import { seconds, waitFor } from '../support/wait.js';

const SEED = Number(process.env['FAULT_SEED'] ?? 1);
const RUNS = process.env['DURABLE_CHAOS'] ? 400 : 60;
const bodies = new Map<string, number>();

@Workflow({ name: 'eight steps' })
class EightSteps {
  async run(n: number, ctx: WorkflowContext): Promise<number> {
    let sum = 0;
    for (let step = 1; step <= 8; step++) {
      if (step === 5) await ctx.sleep(1_200);
      sum += await ctx.step('add', () => {
        const { idempotencyKey } = currentStep();
        bodies.set(idempotencyKey, (bodies.get(idempotencyKey) ?? 0) + 1);
        return n;
      });
    }
    return sum;
  }
}

describe('a QStash that refuses, loses, duplicates and reorders messages and acknowledgements', () => {
  let database: TestDatabase;
  beforeAll(async () => {
    database = await createTestDatabase();
  });
  afterAll(async () => {
    await closeApplications();
    await database.drop();
  });

  /** Lets more than a minute pass for all wake-ups that wait to be published again. */
  const timePasses = async (): Promise<void> => {
    await database.query(`UPDATE durable.workflow_runs SET ready_at = ready_at - interval '2 minutes' WHERE status = 'pending'`);
    await database.query(`UPDATE durable.workflow_outbox SET next_at = next_at - interval '10 minutes'`);
  };

  it('lets all runs end, with each step executed and recorded once', async () => {
    const pushed = await startPushed(database.url, [EightSteps]);
    const { client, qstash } = pushed;
    qstash.setFaults({ seed: SEED, failPublish: 0.05, lose: 0.05, duplicate: 0.2, reorder: 0.3, dropAcknowledgement: 0.1 });
    const handles = await client.startMany(
      EightSteps,
      Array.from({ length: RUNS }, (_, n) => n),
    );
    const isOver = async (): Promise<boolean> => (await client.count({ status: 'completed' })) === RUNS;
    await waitFor(
      async () => {
        if (await isOver()) return true;
        await new Promise((resolve) => setTimeout(resolve, 1_000));
        await timePasses();
        await pushed.sweep().catch(() => undefined);
        return false;
      },
      { timeoutMs: 50_000 },
    );
    expect(await Promise.all(handles.map((handle) => handle.result({ timeout: seconds(5) })))).toEqual(handles.map((_, n) => n * 8));
    expect([...bodies.values()].every((count) => count === 1)).toBe(true);
    expect(bodies.size).toBe(RUNS * 8);
    expect(await database.query('SELECT 1 FROM durable.workflow_waits')).toEqual([]);
    await waitFor(async () => (await database.query('SELECT 1 FROM durable.workflow_sessions')).length === 0);
    if (process.env['DURABLE_TEST_LOG']) console.log(qstash.stats());
  });
});
