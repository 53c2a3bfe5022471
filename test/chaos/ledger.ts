import { isGivenUp, type Check, type Outcome } from './checks.js';
import type { ChaosDatabase } from './database.js';
import { EXPECTED } from './shapes.js';

/** Entries of another system: charges, and refunds that name their charge. */
export const LEDGER = `CREATE TABLE ledger (key text PRIMARY KEY, run_id text, of_key text, cents int, at timestamptz DEFAULT clock_timestamp())`;

interface Entry {
  readonly key: string;
  readonly run_id: string;
  readonly of_key: string | null;
  readonly cents: number;
}

/**
 * Checks that money is conserved to the cent: each charge of a run that was undone is refunded
 * once, and nothing else is refunded.
 */
export async function checkLedger(database: ChaosDatabase, outcome: Outcome): Promise<Check[]> {
  const entries = await database.query<Entry>('SELECT key, run_id, of_key, cents FROM ledger ORDER BY at');
  const charges = new Map(entries.filter(({ of_key: of }) => of === null).map((entry) => [entry.key, entry]));
  const refunds = entries.filter(({ of_key: of }) => of !== null);
  const wrong = refunds.flatMap(({ key, of_key: of, cents }) => {
    const charge = charges.get(of!);
    return charge && charge.cents === -cents ? [] : [`${key} refunds ${-cents} of ${charge?.cents ?? 'no charge'}`];
  });
  const times = new Map<string, number>();
  for (const { of_key: of } of refunds) times.set(of!, (times.get(of!) ?? 0) + 1);
  const twice = [...times].filter(([, count]) => count > 1).map(([of, count]) => `${of} was refunded ${count} times`);
  const open: string[] = [];
  for (const { id, shape, input } of outcome.planned) {
    const run = outcome.runs.get(id);
    if (!run || isGivenUp(run) || (shape !== 'booking' && shape !== 'undone')) continue;
    const isKept = (key: string): boolean => EXPECTED[shape](input).status === 'completed' && key !== `${id}:charge#2`;
    for (const { key, run_id: runId } of charges.values()) {
      if (runId !== id || isKept(key) === (times.get(key) === undefined)) continue;
      open.push(`${key} of a ${run.status} run was ${times.has(key) ? 'refunded' : 'not refunded'}`);
    }
  }
  return [
    { name: 'every refund is of a charge, to the cent', problems: wrong },
    { name: 'no charge is refunded twice', problems: twice },
    { name: 'exactly the charges of undone sagas and runs are refunded', problems: open },
    { name: 'the ledger was used', problems: charges.size > 0 && refunds.length > 0 ? [] : ['not at all'] },
  ];
}
