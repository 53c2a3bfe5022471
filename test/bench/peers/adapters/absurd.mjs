import { readFileSync } from 'node:fs';
import { Absurd } from 'absurd-sdk';
import pg from 'pg';
import { counter, execute } from './database.mjs';

export async function boot({ url, slots, settings, schemaFile, bodyEnded }) {
  await execute(url, readFileSync(schemaFile, 'utf8'));
  const pool = new pg.Pool({ connectionString: url, ...settings.pool });
  const system = new Absurd({ db: pool, queueName: 'bench' });
  await system.createQueue('bench');
  system.registerTask({ name: 'three-steps' }, async (_input, task) => {
    await task.step('one', async () => ({ ok: true, step: 1 }));
    await task.step('two', async () => ({ ok: true, step: 2 }));
    const last = await task.step('three', async () => ({ ok: true, step: 3 }));
    bodyEnded();
    return last;
  });
  await system.startWorker({ concurrency: slots, ...settings.worker });
  return {
    hasResults: true,
    completed: await counter(url, `SELECT count(*) FROM absurd.t_bench WHERE state = 'completed'`),
    startMany: (count) => Promise.all(Array.from({ length: count }, (_, run) => system.spawn('three-steps', { run }))),
    runOne: async () => system.awaitTaskResult((await system.spawn('three-steps', { run: 0 })).taskID),
  };
}
