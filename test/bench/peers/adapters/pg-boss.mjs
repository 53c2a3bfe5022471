import { PgBoss } from 'pg-boss';
import { counter } from './database.mjs';

async function threeSteps() {
  const step = async (number) => ({ ok: true, step: number });
  await step(1);
  await step(2);
  return step(3);
}

export async function boot({ url, slots, settings, bodyEnded }) {
  const boss = new PgBoss({ connectionString: url, ...settings.instance });
  boss.on('error', (error) => console.error(error));
  await boss.start();
  await boss.createQueue('bench', settings.queue);
  const handle = async () => {
    const last = await threeSteps();
    bodyEnded();
    return last;
  };
  const work = settings.work ?? { localConcurrency: slots };
  await boss.work('bench', work, (jobs) => Promise.all(jobs.map(handle)));
  return {
    hasResults: false,
    completed: await counter(url, `SELECT count(*) FROM pgboss.job WHERE name = 'bench' AND state = 'completed'`),
    startMany: (count) =>
      boss.insert(
        'bench',
        Array.from({ length: count }, (_, run) => ({ data: { run } })),
      ),
    runOne: () => boss.send('bench', { run: 0 }),
  };
}
