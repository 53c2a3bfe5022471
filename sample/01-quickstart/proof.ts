import type { Bodies, Body } from './bodies.js';
import type { SampleDatabase } from './database.js';
import type { Order } from './order.js';
import { heading, paint, table } from './report.js';

interface Watched {
  bodies: Bodies;
  cutOff: Body[];
  /** Steps that were recorded when worker A was dead. */
  recorded: { run_id: string; step_key: string }[];
}

const RUNS = `SELECT r.id, r.status, r.epoch AS claims, count(*)::int AS steps, count(DISTINCT s.step_key)::int AS distinct_steps
  FROM workflow_runs r JOIN workflow_steps s ON s.run_id = r.id
  WHERE r.id LIKE 'again-%' GROUP BY r.id ORDER BY r.id`;

/**
 * Shows the tables beside what the workers did, and fails when they are not as the README promises.
 */
export async function proveFromSql(database: SampleDatabase, orders: Order[], { bodies, cutOff, recorded }: Watched): Promise<void> {
  heading('What the tables say', RUNS);
  const runs = await database.query<{ id: string; status: string; claims: number; steps: number; distinct_steps: number }>(RUNS);
  const begun = (runId: string, worker: string): number =>
    bodies.all().reduce((sum, body) => sum + (body.runId === runId ? body.begunBy.filter((by) => by === worker).length : 0), 0);
  table([
    ['run', 'status', 'claims', 'steps', 'distinct', 'bodies begun by A', 'by B'],
    ...runs.map((run) => [run.id, run.status, run.claims, run.steps, run.distinct_steps, begun(run.id, 'A'), begun(run.id, 'B')]),
  ]);

  console.log(
    '\n  Step bodies run at least once. Worker B executed these again: A had begun them, and was killed before their results were recorded.\n',
  );
  const again = bodies.all().filter(({ begunBy }) => begunBy.includes('A') && begunBy.includes('B'));
  table([['run', 'step', 'begun by'], ...again.map(({ runId, stepKey, begunBy }) => [runId, stepKey, begunBy.join(', ')])]);

  const [cards] = await database.query<{ payments: number; requests: number }>(
    'SELECT count(*)::int AS payments, sum(requests)::int AS requests FROM card_processor',
  );
  console.log(
    `\n  The card processor had ${cards!.requests} requests and made ${cards!.payments} payments: it recognises a repeated charge by its idempotency key.\n`,
  );

  const repeated = recorded.filter(({ run_id, step_key }) => again.some(({ runId, stepKey }) => runId === run_id && stepKey === step_key));
  claim(runs.length === orders.length && runs.every(({ status }) => status === 'completed'), 'every run is completed');
  claim(
    orders.every((order) =>
      runs.some(
        ({ id, steps, distinct_steps }) => id === `again-${order.id}` && steps === distinct_steps && steps === 4 + order.items.length,
      ),
    ),
    'every step is recorded once',
  );
  claim(repeated.length === 0, `none of the ${recorded.length} steps that were recorded before the kill was executed again`);
  claim(
    cutOff.length > 0 && cutOff.every((body) => again.includes(body)),
    `the ${cutOff.length} steps that A was executing were executed again`,
  );
  claim(cards!.payments === 2 * orders.length, 'every order was paid once in each part');
}

function claim(holds: boolean, what: string): void {
  if (!holds) throw new Error(`not as claimed: ${what}`);
  console.log(`  ${paint('green', '✓')} ${what}`);
}
