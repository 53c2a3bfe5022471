import { setTimeout as sleep } from 'node:timers/promises';

import { WorkflowClient } from 'nestjs-durable';

import { Bodies } from './bodies.js';
import { bootApplication } from './boot.js';
import type { Cleanup } from './cleanup.js';
import type { SampleDatabase } from './database.js';
import type { Order } from './order.js';
import { OrderWorkflow } from './order.workflow.js';
import type { BodyEvent } from './outside-world.js';
import { proveFromSql } from './proof.js';
import { heading, paint, Timeline } from './report.js';
import { WorkerProcess } from './worker-process.js';

/**
 * Runs part 2: other processes execute the runs, and the first one is killed in the middle of
 * steps.
 */
export async function takeOver(database: SampleDatabase, orders: Order[], cleanup: Cleanup): Promise<void> {
  heading('2  kill -9', 'This process only starts the runs and watches. Worker A executes them and is killed; worker B must finish them.');
  const [app, close] = await cleanup.opened(
    () => bootApplication(database.url, false),
    (opened) => opened.close(),
  );

  let timeline = new Timeline();
  const bodies = new Bodies();
  const startWorker = async (name: string): Promise<WorkerProcess> => {
    const onEvent = (event: BodyEvent): void => {
      bodies.note(event, name);
      timeline.body(event, name);
    };
    const [worker] = await cleanup.opened(
      async () => new WorkerProcess(name, database.url, onEvent),
      (opened) => opened.end('SIGKILL'),
    );
    await Promise.race([worker.ready, worker.died]);
    return worker;
  };

  const a = await startWorker('A');
  timeline = new Timeline();
  timeline.remark(`worker A is ready (pid ${a.pid})`);
  const handles = await app
    .get(WorkflowClient)
    .startMany(OrderWorkflow, orders, (order, index) => ({ id: `again-${order.id}`, delay: index * 400 }));
  const results = handles.map(async (handle) => {
    const receipt = await handle.result({ timeout: '60s' });
    timeline.result(handle.runId, receipt, ' ');
  });
  const allEnded = Promise.all(results);
  allEnded.catch(() => undefined);

  // Kills A while it charges the last order; the other runs sleep or are further along.
  await Promise.race([bodies.begun(handles.at(-1)!.runId, 'PaymentService.charge'), a.died]);
  await a.end('SIGKILL');
  const cutOff = bodies.underWay();
  const recorded = await database.query<{ run_id: string; step_key: string }>(
    `SELECT run_id, step_key FROM workflow_steps WHERE run_id LIKE 'again-%'`,
  );
  timeline.remark(
    paint('red', `kill -9 ${a.pid}: worker A is dead, ${recorded.length} steps are recorded, ${cutOff.length} were executing:`),
  );
  for (const { runId, stepKey } of cutOff) timeline.remark(paint('red', `   ${runId}  ${stepKey}`));

  const b = await startWorker('B');
  timeline.remark(`worker B is ready (pid ${b.pid})`);
  const taken = await Promise.race([runsTakenOver(database), b.died]);
  timeline.remark(paint('cyan', `worker B takes over ${taken.join(', ')}`));
  await Promise.race([allEnded, b.died]);
  await b.end('SIGTERM');

  await proveFromSql(database, orders, { bodies, cutOff, recorded });
  await close();
}

/**
 * Reads which runs were taken over: the takeover of the dead session logs them in its own
 * transaction.
 */
async function runsTakenOver(database: SampleDatabase): Promise<string[]> {
  for (const deadline = performance.now() + 30_000; performance.now() < deadline; await sleep(20)) {
    const rows = await database.query<{ run_id: string }>(
      `SELECT DISTINCT run_id FROM workflow_run_log WHERE kind = 'worker_lost' ORDER BY run_id`,
    );
    if (rows.length > 0) return rows.map((row) => row.run_id);
  }
  throw new Error('worker B did not take over within 30 s');
}
