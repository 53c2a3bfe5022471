import { grouped, isGivenUp, type Check, type Outcome } from './checks.js';
import type { ChaosDatabase } from './database.js';
import { EXPECTED, isOfBank } from './shapes.js';

/** Number of accounts. A small number makes payments conflict. */
export const ACCOUNTS = 40;
const FIRST_CENTS = 1_000_000;

/**
 * Statements that create a bank in the application's database. An idempotent payment has a `key`.
 * The payments of transactional steps have no key, so only the transaction keeps a payment from
 * happening twice.
 */
export const BANK = `CREATE TABLE accounts (id int PRIMARY KEY, cents bigint NOT NULL);
INSERT INTO accounts SELECT id, ${FIRST_CENTS} FROM generate_series(0, ${ACCOUNTS - 1}) AS id;
CREATE TABLE entries (key text UNIQUE, run_id text, step_key text, of_key text, payer int, payee int, cents int, nonce text);
CREATE INDEX ON entries (run_id, step_key);
CREATE TABLE conflicts (code text)`;

interface Entry {
  readonly key: string | null;
  readonly run_id: string;
  readonly step_key: string;
  readonly of_key: string | null;
  readonly payer: number;
  readonly payee: number;
  readonly cents: number;
  readonly nonce: string;
}

/**
 * Checks that money is conserved to the cent, that each recorded step has made its payment once,
 * and that runs which failed or were cancelled have moved nothing.
 */
export async function checkBank(database: ChaosDatabase, outcome: Outcome): Promise<Check[]> {
  const entries = await database.query<Entry>('SELECT * FROM entries');
  const accounts = await database.query<{ id: number; cents: string }>('SELECT id, cents FROM accounts ORDER BY id');
  const perRun = grouped(entries, (entry) => entry.run_id);
  const back = entries.filter(({ of_key: of }) => of !== null);
  return [
    { name: 'the accounts hold together what they held at first', problems: sumOf(accounts) },
    { name: 'each account holds what its entries say', problems: balancesOf(accounts, entries) },
    { name: 'each recorded transaction has one entry, and each entry a recorded step', problems: recordsOf(perRun, outcome) },
    { name: 'completed runs have moved their money once, undone runs have moved nothing', problems: effectsOf(perRun, outcome) },
    { name: 'the bank was used', problems: back.length > 0 && entries.length > back.length ? [] : ['not at all'] },
  ];
}

/** Returns a line about the payments and their conflicts. */
export async function describeBank(database: ChaosDatabase): Promise<string> {
  const [entries] = await database.query<{ paid: number; back: number }>(
    'SELECT count(*) FILTER (WHERE of_key IS NULL)::int AS paid, count(of_key)::int AS back FROM entries',
  );
  const conflicts = await database.query<{ code: string; times: number }>(
    'SELECT code, count(*)::int AS times FROM conflicts GROUP BY code ORDER BY code',
  );
  const met = conflicts.map(({ code, times }) => `${times} x ${code}`).join(', ') || 'none';
  return `bank: ${entries!.paid} payments, ${entries!.back} given back; conflicts in bodies: ${met}`;
}

type Balances = readonly { readonly id: number; readonly cents: string }[];

function sumOf(accounts: Balances): string[] {
  const sum = accounts.reduce((total, { cents }) => total + Number(cents), 0);
  return sum === ACCOUNTS * FIRST_CENTS ? [] : [`${sum} instead of ${ACCOUNTS * FIRST_CENTS} cents`];
}

/** Returns the cents that the entries add to each account. */
function movesOf(entries: readonly Entry[]): Map<number, number> {
  const moves = new Map<number, number>();
  for (const { payer, payee, cents } of entries) {
    moves.set(payer, (moves.get(payer) ?? 0) - cents);
    moves.set(payee, (moves.get(payee) ?? 0) + cents);
  }
  return moves;
}

function balancesOf(accounts: Balances, entries: readonly Entry[]): string[] {
  const moves = movesOf(entries);
  return accounts.flatMap(({ id, cents }) => {
    const expected = FIRST_CENTS + (moves.get(id) ?? 0);
    return Number(cents) === expected ? [] : [`account ${id} holds ${cents} instead of ${expected} cents`];
  });
}

function recordsOf(perRun: ReadonlyMap<string, readonly Entry[]>, outcome: Outcome): string[] {
  const problems: string[] = [];
  for (const { id, shape } of outcome.planned) {
    const run = outcome.runs.get(id);
    if (!run || !isOfBank(shape)) continue;
    const entries = perRun.get(id) ?? [];
    for (const [stepKey, same] of grouped(entries, (entry) => entry.step_key)) {
      const step = outcome.stepOf(id, stepKey);
      if (same.length > 1) problems.push(`${id}: ${stepKey} has ${same.length} entries`);
      const { key, nonce } = same[0]!;
      // A repeated execution of an idempotent payment returns another nonce, and pays nothing.
      const isRight = step?.status === 'completed' && (key !== null || step.output === JSON.stringify(nonce));
      // A run that was given up may have made an idempotent payment without recording it.
      if (!isRight && !(key !== null && isGivenUp(run)))
        problems.push(`${id}: ${stepKey} has the entry ${nonce}, and the record ${step?.status} ${step?.output}`);
    }
    const entered = new Set(entries.map((entry) => entry.step_key));
    for (const { step_key: stepKey, status } of outcome.stepsOf(id)) {
      if (status !== 'completed' || entered.has(stepKey)) continue;
      const undone = /^\$compensate:(.+)$/.exec(stepKey)?.[1];
      const pays = undone === undefined ? /^(move|exchange|share)\b/.test(stepKey) : entered.has(undone);
      if (pays) problems.push(`${id}: ${stepKey} is recorded, and has no entry`);
    }
  }
  return problems;
}

function effectsOf(perRun: ReadonlyMap<string, readonly Entry[]>, outcome: Outcome): string[] {
  const problems: string[] = [];
  for (const { id, shape, input } of outcome.planned) {
    const run = outcome.runs.get(id);
    if (!run || isGivenUp(run) || !isOfBank(shape)) continue;
    const entries = perRun.get(id) ?? [];
    const payments = entries.filter(({ of_key: of }) => of === null);
    if (run.status === 'completed') {
      const wanted = EXPECTED[shape](input).steps.length;
      if (entries.length !== wanted || payments.length !== wanted)
        problems.push(`${id} completed with ${payments.length} payments instead of ${wanted}, and ${entries.length} entries`);
      continue;
    }
    const left = [...movesOf(entries)].filter(([, cents]) => cents !== 0);
    if (left.length > 0) problems.push(`${id} is ${run.status}, and has moved ${left.map((move) => move.join(': ')).join(', ')}`);
    if (entries.length !== 2 * payments.length)
      problems.push(`${id} is ${run.status}, and has ${payments.length} payments and ${entries.length} entries`);
  }
  return problems;
}
