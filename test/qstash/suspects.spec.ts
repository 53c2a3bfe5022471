import { afterAll, beforeAll, expect, it } from '@jest/globals';

import { currentStep, Workflow, type WorkflowContext } from '../../src/index.js';
import { closeApplications } from '../support/application.js';
import { createTestDatabase, type TestDatabase } from '../support/database.js';
import { startPushed } from '../support/pushed-application.js';
import { waitFor } from '../support/wait.js';

const RUNS = 12;
/** Slightly less than the milliseconds for which a delivery waits for suspects. */
const WAIT_MS = 4_900;
let underWay = 0;
const company = new Map<string, number>();

@Workflow({ name: 'suspicious' })
class Suspicious {
  async run(_input: void, ctx: WorkflowContext): Promise<void> {
    await ctx.step('work', async () => {
      underWay++;
      company.set(currentStep().runId, underWay);
      await new Promise((resolve) => setTimeout(resolve, 50));
      underWay--;
    });
  }
}

@Workflow({ name: 'lengthy' })
class Lengthy {
  async run(_input: void, ctx: WorkflowContext): Promise<void> {
    await ctx.step('work', async () => {
      underWay++;
      // Longer than a delivery waits for other runs.
      await new Promise((resolve) => setTimeout(resolve, 6_000));
      underWay--;
    });
  }
}

let database: TestDatabase;
beforeAll(async () => {
  database = await createTestDatabase();
});
afterAll(async () => {
  await closeApplications();
  await database.drop();
});

it('suspects are executed one at a time, even when QStash delivers all of them at once', async () => {
  const { client, sweep, qstash } = await startPushed(database.url, [Suspicious]);
  await client.startMany(
    Suspicious,
    Array.from({ length: RUNS }, () => undefined),
    { delay: '2h' },
  );
  await database.query(
    `UPDATE durable.workflow_runs SET status = 'pending', worker_losses = 2, wake_at = NULL, ready_at = now() - interval '2 minutes'`,
  );
  await sweep();
  await waitFor(async () => (await client.count({ status: 'completed' })) === RUNS);
  expect([...company.values()]).toEqual(Array.from({ length: RUNS }, () => 1));
  await qstash.settled();
  // A delivery is refused only after it has waited for as long as deliveries wait for suspects.
  const refused = qstash.deliveries.filter(({ status }) => status !== 200);
  expect(refused.filter(({ startedAt, endedAt }) => (endedAt?.getTime() ?? 0) - startedAt.getTime() < WAIT_MS)).toEqual([]);
});

it('a suspect waits until the current runs have ended, and its delivery is not refused', async () => {
  const { client, sweep, qstash } = await startPushed(database.url, [Suspicious, Lengthy], {
    options: { qstash: { namespace: 'lengthy' } },
  });
  await client.start(Lengthy);
  await waitFor(() => underWay === 1);
  const { runId } = await client.start(Suspicious, undefined, { delay: '2h' });
  await database.query(
    `UPDATE durable.workflow_runs SET status = 'pending', worker_losses = 2, wake_at = NULL, ready_at = now() - interval '2 minutes' WHERE id = $1`,
    [runId],
  );
  await sweep();
  await waitFor(async () => (await client.status(runId)) === 'completed', { timeoutMs: 20_000 });
  expect(company.get(runId)).toBe(1);
  await qstash.settled();
  expect(qstash.deliveries.filter(({ status }) => status !== 200)).toEqual([]);
});
