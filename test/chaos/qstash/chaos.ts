import { setTimeout as sleep } from 'node:timers/promises';

import { QStashEmulator, type QStashFaults } from 'nestjs-durable/testing';

import type { ChaosSettings } from '../arguments.js';
import { checkMoney, claimsOf, drained, drive, fromNowOn, seconds, TABLES, type ChaosReport } from '../chaos.js';
import { describeBank } from '../bank.js';
import { checkOutcome, grouped, Outcome, type Check } from '../checks.js';
import type { ChaosDatabase } from '../database.js';
import { Driver } from '../driver.js';
import { LimitsChaos } from '../limits-chaos.js';
import { checkRows } from '../leftovers.js';
import { ApplicationFleet } from './application-fleet.js';
import { BOTH_LEFTOVERS, checkDeliveries, OUTBOX, QSTASH_LEFTOVERS } from './checks.js';
import { CRASHES_TABLE } from './crashes.js';
import { FrontDoor } from './front-door.js';
import { planPushed } from './plan.js';
import { checkStreams } from '../stream-checks.js';
import { limitsOf } from '../workload.js';
import { Ticker } from './ticker.js';

const FAULTS: QStashFaults = { failPublish: 0.05, lose: 0.05, duplicate: 0.2, reorder: 0.3, dropAcknowledgement: 0.1 };
/**
 * Milliseconds that all runs may take to end. Crashes continue until the end, each takes its
 * process away for seconds, and QStash pauses for 12 s between its tries.
 */
const DRAIN_MS = 300_000;
const DRAIN_MS_PER_RUN = 600;
/** Milliseconds for which rows that a periodic sweep removes may remain. */
const SWEPT_MS = 20_000;

/**
 * Drives crashing applications by a QStash with faults, and checks the outcome. Leaves no process
 * behind.
 */
export async function runQStashChaos(settings: ChaosSettings, database: ChaosDatabase, file: string): Promise<ChaosReport> {
  const runs = planPushed(settings);
  await database.query(`${TABLES}; ${CRASHES_TABLE}`);
  const qstash = await QStashEmulator.start({ faults: { seed: settings.seed, ...FAULTS } });
  const fleet = (): ApplicationFleet => applications;
  const door = await FrontDoor.open(() => fleet().ports);
  const transport: 'qstash' | 'both' = settings.transport === 'both' ? 'both' : 'qstash';
  const environment = {
    seed: settings.seed,
    workload: settings.workload,
    transport,
    url: database.url,
    qstash: qstash.env(),
    targetUrl: door.url,
  };
  const applications = new ApplicationFleet(settings.workers, environment, file);
  const { url, token } = qstash;
  const options = { ...limitsOf(settings.workload), transport: 'qstash' as const, qstash: { url, token, targetUrl: door.url } };
  const sweepUrl = `${door.url}/workflow/qstash/sweep`;
  const callSweep = () =>
    fetch(`${url}/v2/publish/${sweepUrl}`, { method: 'POST', headers: { authorization: `Bearer ${token}`, 'upstash-retries': '0' } });
  let driver: Driver | undefined;
  let ticker: Ticker | undefined;
  let limits: LimitsChaos | undefined;
  try {
    // It brings the schema, before the applications come.
    driver = await Driver.start(database.url, fleet, options);
    limits = await LimitsChaos.begin(settings, database, driver);
    await applications.start();
    const beganAt = performance.now();
    ticker = new Ticker(database, callSweep);
    const at = fromNowOn();
    await Promise.all([drive(runs, driver, at), limits.happen(at)]);
    const startedAt = performance.now();
    const drainMs = DRAIN_MS + DRAIN_MS_PER_RUN * settings.runs;
    const isDrained = await drained(database, runs, drainMs, limits.names);
    const drainedAt = performance.now();
    const messages = messagesOf(qstash, sweepUrl);
    const leftovers = await settled(database, {
      ...(transport === 'both' ? BOTH_LEFTOVERS : QSTASH_LEFTOVERS),
      ...limits.unwanted,
    });
    const results = await Promise.race([
      Promise.all(driver.results).then(() => []),
      sleep(SWEPT_MS, ['result() of a run that has ended'], { ref: false }),
    ]);
    await ticker.stop();
    await database.query(`UPDATE durable.workflow_outbox SET next_at = next_at - interval '1 day'`);
    qstash.setFaults({});
    await callSweep();
    const outbox = await settled(database, OUTBOX);
    await applications.allUp();
    await applications.end();

    const outcome = await Outcome.read(database, runs);
    const { log } = applications;
    const checks: Check[] = [
      { name: `all ended within ${seconds(drainMs)} after the last start`, problems: isDrained ? [] : ['not all'] },
      ...checkOutcome(outcome),
      ...(await checkMoney(settings, database, outcome)),
      ...(await limits.check()),
      ...checkDeliveries(outcome, log),
      await checkStreams(driver, outcome),
      ...leftovers,
      ...outbox,
      { name: 'every result was told of', problems: isDrained ? results : [] },
      { name: 'clients met nothing but trouble with connections', problems: driver.problems },
      { name: 'applications printed nothing but warnings, and ended by crashes alone, or as they were told', problems: log.problems },
    ];
    const count = outcome.runs.size;
    const facts = [
      `${count} runs, ${settings.workers} applications; started within ${seconds(startedAt - beganAt)}, then ${seconds(drainedAt - startedAt)} until all had ended`,
      `messages per run: ${perRun(messages.published, count)} published by the applications, ${perRun(messages.accepted, count)} accepted by QStash`,
      `QStash: ${Object.entries(qstash.stats())
        .map(([what, times]) => `${times} ${what}`)
        .join(', ')}`,
      `answers: ${answersOf(qstash)}`,
      `${log.crashed.size} crashes, ${log.fenced.size} sessions lost by living processes; ${log.boots} boots`,
      await claimsOf(database, outcome),
      await describeBank(database),
      ...(await limits.facts()),
      ...[...log.notes].sort(([, a], [, b]) => b - a).map(([note, times]) => `${times} x ${note}`),
    ];
    return { seed: settings.seed, checks, facts };
  } finally {
    await limits?.stop();
    await ticker?.stop();
    await applications.close();
    await driver?.close();
    await door.close();
    await qstash.close();
  }
}

/**
 * Counts wake-ups, without calls of the sweep. A refused one counts as published, once per request
 * or member of a batch.
 */
function messagesOf(qstash: QStashEmulator, sweepUrl: string): { published: number; accepted: number } {
  const { deduplicated, rejected } = qstash.stats();
  const accepted = qstash.messages.filter(({ url }) => url !== sweepUrl).length;
  return { published: accepted + deduplicated + rejected, accepted };
}

function answersOf(qstash: QStashEmulator): string {
  const answers = grouped([...qstash.deliveries], ({ status, error }) => String(status ?? error));
  return [...answers].map(([answer, deliveries]) => `${deliveries.length} x ${answer}`).join(', ');
}

async function settled(database: ChaosDatabase, unwanted: Readonly<Record<string, string>>): Promise<Check[]> {
  for (const until = Date.now() + SWEPT_MS; ; await sleep(200)) {
    const checks = await checkRows(database, unwanted);
    if (checks.every(({ problems }) => problems.length === 0) || Date.now() > until) return checks;
  }
}

const perRun = (messages: number, runs: number): string => (messages / runs).toFixed(2);
