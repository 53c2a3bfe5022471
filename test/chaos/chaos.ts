import { setTimeout as sleep } from 'node:timers/promises';

import type { ChaosSettings } from './arguments.js';
import { BANK, checkBank, describeBank } from './bank.js';
import { checkOutcome, isGivenUp, Outcome, type Check } from './checks.js';
import type { ChaosDatabase } from './database.js';
import { Driver } from './driver.js';
import { Faults } from './faults.js';
import { Fleet } from './fleet.js';
import { checkLeftovers, checkMemory, checkRows } from './leftovers.js';
import { checkLedger, LEDGER } from './ledger.js';
import { LimitsChaos } from './limits-chaos.js';
import { checkStreams } from './stream-checks.js';
import { limitsOf } from './workload.js';
import { makePlan, type Plan, type PlannedRun } from './plan.js';

/** Milliseconds that the runs may take to end after the last fault. Each run adds to the limit. */
const DRAIN_MS = 120_000;
const DRAIN_MS_PER_RUN = 60;
/** Milliseconds for which rows that a periodic sweep removes may remain. */
const SWEPT_MS = 15_000;
const WEIGH_EVERY_MS = 5_000;

export interface ChaosReport {
  readonly seed: number;
  readonly checks: readonly Check[];
  /** Facts of the run, one line each. */
  readonly facts: readonly string[];
}

/** The tables of the test. */
export const TABLES = `CREATE TABLE bodies (run_id text, step_key text, attempt int, pid int, nonce text, given_by text, given text, at timestamptz DEFAULT clock_timestamp());
${LEDGER};
${BANK}`;

/** Plans, does, and looks at what has come of it. Leaves no process behind. */
export async function runChaos(settings: ChaosSettings, database: ChaosDatabase, workerFile: string): Promise<ChaosReport> {
  const plan = makePlan(settings);
  await database.query(TABLES);
  let fleet: Fleet | undefined;
  // It brings the schema, before the workers come.
  const driver = await Driver.start(database.url, () => fleet!, limitsOf(settings.workload));
  let limits: LimitsChaos | undefined;
  try {
    limits = await LimitsChaos.begin(settings, database, driver);
    fleet = await Fleet.start(settings.workers, database.url, workerFile, settings.workload);
    const faults = new Faults(fleet, database, settings.workload);
    const beganAt = performance.now();
    await happen(plan, { driver, faults, fleet, limits });
    const faultsOverAt = performance.now();
    const drainMs = DRAIN_MS + DRAIN_MS_PER_RUN * settings.runs;
    const isDrained = await drained(database, plan.runs, drainMs, limits.names);
    const drainedAt = performance.now();
    await fleet.allUp();
    const leftovers = await settled(database, fleet, limits);
    await fleet.weigh();
    const memory = checkMemory(fleet.workers);
    const results = await Promise.race([
      Promise.all(driver.results).then(() => []),
      sleep(SWEPT_MS, ['result() of a run that has ended'], { ref: false }),
    ]);

    await Promise.all(fleet.workers.map((worker) => worker.end('SIGTERM')));
    const sessions = await database.query<{ pid: number }>('SELECT pid FROM durable.workflow_sessions');
    const outcome = await Outcome.read(database, plan.runs);
    const checks: Check[] = [
      { name: `all ended within ${seconds(drainMs)} after the last fault`, problems: isDrained ? [] : ['not all'] },
      ...checkOutcome(outcome),
      ...(await checkMoney(settings, database, outcome)),
      ...(await limits.check()),
      ...leftovers,
      { name: 'every result was told of', problems: isDrained ? results : [] },
      { name: 'clients met nothing but trouble with connections', problems: driver.problems },
      { name: 'workers printed nothing but warnings, and lived until they were ended', problems: fleet.log.problems },
      { name: 'workers that received SIGTERM left no session', problems: sessions.map(({ pid }) => `process ${pid}`) },
      await checkStreams(driver, outcome),
      memory,
    ];
    const facts = [
      `${outcome.runs.size} runs, ${settings.workers} workers, ${seconds(faultsOverAt - beganAt)} of faults, then ${seconds(drainedAt - faultsOverAt)} until all had ended`,
      `${sum([...faults.done.values()])} faults: ${[...faults.done].map(([kind, count]) => `${count} ${kind}`).join(', ')}; ${faults.skipped} skipped; ${fleet.log.boots} boots`,
      await claimsOf(database, outcome),
      await describeBank(database),
      ...(await limits.facts()),
      `${driver.readers.length} readers of streams`,
      `heap after gc: ${memory.growth.join('; ') || 'not looked at'}`,
      ...[...fleet.log.notes].sort(([, a], [, b]) => b - a).map(([note, count]) => `${count} x ${note}`),
    ];
    return { seed: settings.seed, checks, facts };
  } finally {
    await limits?.stop();
    await fleet?.close();
    await driver.close();
  }
}

/**
 * Executes the plan, each event at its time. Resolves when the last fault has ended and all runs
 * are started.
 */
async function happen(
  plan: Plan,
  { driver, faults, fleet, limits }: { driver: Driver; faults: Faults; fleet: Fleet; limits: LimitsChaos },
): Promise<void> {
  const at = fromNowOn();
  const lastMs = Math.max(...plan.runs.map(({ atMs }) => atMs), ...plan.faults.map(({ atMs }) => atMs));
  const weighing: Promise<void>[] = [];
  for (let ms = WEIGH_EVERY_MS; ms < lastMs; ms += WEIGH_EVERY_MS) weighing.push(at(ms, () => fleet.weigh()));
  await Promise.all([
    drive(plan.runs, driver, at),
    limits.happen(at),
    ...plan.faults.map((fault) => at(fault.atMs, () => faults.happen(fault))),
    ...weighing,
  ]);
}

/** Does things at their time, counted from now. */
type At = (ms: number, work: () => Promise<unknown>) => Promise<void>;

export function fromNowOn(): At {
  const began = performance.now();
  return async (ms, work) => {
    await sleep(Math.max(0, ms - (performance.now() - began)));
    await work();
  };
}

/** Starts, signals and cancels runs as planned. */
export async function drive(planned: readonly PlannedRun[], driver: Driver, at: At): Promise<void> {
  const runs = planned.filter(({ isChild }) => !isChild);
  const signal = async (run: PlannedRun): Promise<void> => {
    for (const [n, ms] of run.signalsAtMs.entries()) await at(ms, () => driver.signal(run, n));
  };
  await Promise.all([
    ...runs.map((run) => at(run.atMs, () => driver.startRun(run))),
    ...runs.flatMap((run) => (run.cancelAtMs === undefined ? [] : [at(run.cancelAtMs, () => driver.cancel(run))])),
    ...runs.map(signal),
  ]);
}

/**
 * Waits until all runs have ended; false when they take too long.
 *
 * @param names workflows of which all runs must end too, and the members of their batches
 */
export async function drained(
  database: ChaosDatabase,
  runs: readonly PlannedRun[],
  patienceMs: number,
  names: readonly string[],
): Promise<boolean> {
  // Children end before those who wait for them.
  const ids = runs.filter(({ start, isChild }) => start !== 'rollback' && !isChild).map(({ id }) => id);
  for (const until = Date.now() + patienceMs; Date.now() < until; await sleep(200)) {
    const [row] = await database.query<{ ended: number; open: number }>(
      `SELECT count(*) FILTER (WHERE id = ANY ($1) AND finished_at IS NOT NULL)::int AS ended,
        count(*) FILTER (WHERE name = ANY ($2) AND finished_at IS NULL)::int AS open FROM durable.workflow_runs`,
      [ids, names],
    );
    if (row!.ended === ids.length && row!.open === 0) return true;
  }
  return false;
}

/** Checks the leftovers once they no longer decrease. */
async function settled(database: ChaosDatabase, fleet: Fleet, limits: LimitsChaos): Promise<Check[]> {
  for (const until = Date.now() + SWEPT_MS; ; await sleep(200)) {
    const checks = [...(await checkLeftovers(database, fleet.workers)), ...(await checkRows(database, limits.unwanted))];
    if (checks.every(({ problems }) => problems.length === 0) || Date.now() > until) return checks;
  }
}

/** Checks the ledger and the bank, which the workload `limits` does not use. */
export async function checkMoney({ workload }: ChaosSettings, database: ChaosDatabase, outcome: Outcome): Promise<Check[]> {
  if (workload === 'limits') return [];
  return [...(await checkLedger(database, outcome)), ...(await checkBank(database, outcome))];
}

export async function claimsOf(database: ChaosDatabase, outcome: Outcome): Promise<string> {
  const runs = [...outcome.runs.values()];
  const [{ lost } = { lost: 0 }] = await database.query<{ lost: number }>(
    `SELECT count(*)::int AS lost FROM durable.workflow_run_log WHERE kind = 'worker_lost'`,
  );
  const bodies = [...outcome.bodies.values()].reduce((sum, each) => sum + each.length, 0);
  return `${runs.reduce((sum, { epoch }) => sum + epoch, 0)} claims, at most ${Math.max(...runs.map(({ epoch }) => epoch))} of one run; ${lost} losses; ${bodies} bodies, ${outcome.repeated} repeated; ${runs.filter(isGivenUp).length} runs given up`;
}

const sum = (numbers: readonly number[]): number => numbers.reduce((total, each) => total + each, 0);

export const seconds = (ms: number): string => `${(ms / 1_000).toFixed(1)} s`;
