// npm run sample: runs orders through a durable workflow, first in one process, then with a kill
// -9. See README.md.
import 'reflect-metadata';

import { readFile } from 'node:fs/promises';

import { Cleanup } from './cleanup.js';
import { openDatabase, SCHEMA } from './database.js';
import { oneProcess } from './one-process.js';
import type { Order } from './order.js';
import { paint } from './report.js';
import { takeOver } from './take-over.js';

// The path is relative to build/quickstart, the folder of the compiled sample.
const ORDERS = new URL('../../sample/01-quickstart/orders.json', import.meta.url);

const NEXT = `
${paint('bold', 'Next')}
  sample/01-quickstart/order.workflow.ts         the workflow: change it, add a step, run the sample again
  DATABASE_URL=postgresql://... npm run sample   the same on your server (schema ${SCHEMA}, dropped at the end)
  README.md                                      how to put WorkflowModule into your application
`;

async function quickstart(cleanup: Cleanup): Promise<void> {
  const orders = JSON.parse(await readFile(ORDERS, 'utf8')) as Order[];
  const [database] = await cleanup.opened(openDatabase, (opened) => opened.remove());
  console.log(`\n${paint('bold', 'nestjs-durable quickstart')}: ${orders.length} orders from orders.json, ${database.description}`);
  await oneProcess(database, orders, cleanup);
  await takeOver(database, orders, cleanup);
  console.log(NEXT);
}

const cleanup = new Cleanup();
let exitCode = 0;
const interruption = new Promise<void>((resolve) => {
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.on(signal, () => {
      exitCode = 130;
      resolve();
    });
  }
});

try {
  await Promise.race([quickstart(cleanup), interruption]);
} catch (error) {
  console.error('\nThe sample failed:', error);
  exitCode = 1;
} finally {
  await cleanup.run();
}
if (exitCode === 130) console.log('\nInterrupted; nothing is left behind.');
// After a success nothing keeps the process from ending by itself.
if (exitCode !== 0) process.exit(exitCode);
