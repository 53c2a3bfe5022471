import { DBOS } from '@dbos-inc/dbos-sdk';
import { counter } from './database.mjs';

export async function boot({ url, slots, settings, bodyEnded }) {
  const step = DBOS.registerStep(async (number) => ({ ok: true, step: number }), { name: 'step' });
  const body = async () => {
    await step(1);
    await step(2);
    const last = await step(3);
    bodyEnded();
    return last;
  };
  const workflow = DBOS.registerWorkflow(body, { name: 'threeSteps' });
  DBOS.setConfig({ name: 'bench', systemDatabaseUrl: url, logLevel: 'error', ...settings.config });
  await DBOS.launch();
  if (settings.queue) await DBOS.registerQueue('bench', { workerConcurrency: slots, ...settings.queue });
  const target = settings.queue ? { queueName: 'bench' } : {};
  const start = (run) => DBOS.startWorkflow(workflow, target)(run);
  return {
    hasResults: true,
    completed: await counter(url, `SELECT count(*) FROM dbos.workflow_status WHERE status = 'SUCCESS'`),
    startMany: (runs) => Promise.all(Array.from({ length: runs }, (_, run) => start(run))),
    runOne: async () => (await start(0)).getResult(settings.result),
  };
}
