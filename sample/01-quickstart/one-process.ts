import { WorkflowClient } from 'nestjs-durable';

import { bootApplication } from './boot.js';
import type { Cleanup } from './cleanup.js';
import type { SampleDatabase } from './database.js';
import type { Order } from './order.js';
import { OrderWorkflow } from './order.workflow.js';
import { OutsideWorld } from './outside-world.js';
import { heading, table, Timeline } from './report.js';

/** Runs part 1: this process starts the runs and executes them. */
export async function oneProcess(database: SampleDatabase, orders: Order[], cleanup: Cleanup): Promise<void> {
  heading('1  One process', 'It starts a run for each order and executes them all at the same time.');
  const [app, close] = await cleanup.opened(
    () => bootApplication(database.url, {}),
    (opened) => opened.close(),
  );

  const timeline = new Timeline();
  app.get(OutsideWorld).events.subscribe((event) => timeline.body(event));
  const handles = await app.get(WorkflowClient).startMany(OrderWorkflow, orders, (order) => ({ id: `order-${order.id}` }));
  await Promise.all(
    handles.map(async (handle) => {
      timeline.result(handle.runId, await handle.result({ timeout: '60s' }));
    }),
  );

  const [first] = handles;
  const steps = await first!.steps();
  console.log(`\n  Steps of ${first!.runId}, as recorded in PostgreSQL:\n`);
  table([
    ['seq', 'step', 'kind', 'status', 'tries', 'ms'],
    ...steps.map((step) => [
      step.seq,
      step.stepKey,
      step.kind,
      step.status,
      step.attempts,
      step.finishedAt.getTime() - step.startedAt.getTime(),
    ]),
  ]);
  await close();
}
