import { OpenWorkflow } from 'openworkflow';
import { BackendPostgres } from 'openworkflow/postgres';
import postgres from 'postgres';
import { counter } from './database.mjs';

/** The backend as it connects by itself, or on a pool with the given options of its driver. */
async function connect(url, { pool }) {
  // Creates the tables.
  const own = await BackendPostgres.connect(url);
  if (!pool) return own;
  await own.stop();
  // A size in the URL would not do: the driver would take the text for one connection.
  return BackendPostgres.fromPool(postgres(url, { ...pool, transform: { column: { from: postgres.toCamel } } }));
}

export async function boot({ url, slots, settings, bodyEnded }) {
  const system = new OpenWorkflow({ backend: await connect(url, settings) });
  const workflow = system.defineWorkflow({ name: 'three-steps' }, async ({ step }) => {
    await step.run({ name: 'one' }, async () => ({ ok: true, step: 1 }));
    await step.run({ name: 'two' }, async () => ({ ok: true, step: 2 }));
    const last = await step.run({ name: 'three' }, async () => ({ ok: true, step: 3 }));
    bodyEnded();
    return last;
  });
  await system.newWorker({ concurrency: slots }).start();
  return {
    hasResults: true,
    completed: await counter(url, `SELECT count(*) FROM openworkflow.workflow_runs WHERE status = 'completed'`),
    startMany: (count) => Promise.all(Array.from({ length: count }, (_, run) => workflow.run({ run }))),
    runOne: async () => (await workflow.run({ run: 0 })).result(),
  };
}
