import { setTimeout as sleep } from 'node:timers/promises';
import { migrationSql, type WorkflowClient } from 'nestjs-durable';
import { startApplication, startWithRetention, type BenchApplication } from '../application.js';
import { countExpired, insertExpired } from '../backlog-rows.js';
import type { Bench } from '../bench.js';
import { produce, type Load } from '../produce.js';
import { producePaced, type Pace } from '../produce-paced.js';
import { withClient } from '../server.js';
import { median, pairedRatio } from '../statistics.js';
import { CONCURRENCY, IN_FLIGHT } from './throughput.js';

const RETENTION = { completed: '1 day' } as const;
/** Retention with short pauses between two rounds through all runs. */
const SHORT_RETENTION = { completed: '1 minute' } as const;
const OPTIONS = { concurrency: CONCURRENCY, eagerStart: false };
/** Rounds of deletions after which the tables must not be larger than after the second one. */
const SIZE_ROUNDS = { quick: 4, full: 10 };

/** Pairs of rounds at full load, and at a constant rate. */
const ROUNDS = { quick: { full: 3, paced: 1 }, full: { full: 4, paced: 3 } };

/**
 * Throughput while retention deletes 1,000,000 ended runs of three steps (quick: 50,000), over
 * throughput in the same database without retention: with as many runs as the process executes, and
 * with 500 runs started per second. Then the size of the tables while as many runs as before are
 * inserted and deleted again and again.
 */
export async function retention(bench: Bench) {
  const { server, quick, say } = bench;
  const { url, drop } = await server.createDatabase();
  try {
    await withClient(url, (client) => client.query(migrationSql()));
    const total = quick ? 50_000 : 1_000_000;
    for (let from = 0; from < total; from += 50_000) await withClient(url, (client) => insertExpired(client, from, 50_000));
    await withClient(url, (client) => client.query('VACUUM (ANALYZE)'));
    say(`retention: ${total} ended runs are there`);
    const rounds = ROUNDS[quick ? 'quick' : 'full'];
    const load: Load = quick ? { runs: 6_000, inFlight: IN_FLIGHT, maxSeconds: 4 } : { runs: 40_000, inFlight: IN_FLIGHT, maxSeconds: 15 };
    const pace: Pace = { perSecond: 500, seconds: quick ? 3 : 15 };
    await oneRound(bench, url, startPlain, (client) => produce(client, { ...load, runs: 3_000, maxSeconds: 2 }));
    const full = await pairs(bench, url, rounds.full, (client) => produce(client, load));
    const ratio = ratioOf(full);
    say(`retention: at full load ${speed(full)}`);
    const paced = await pairs(bench, url, rounds.paced, (client) => producePaced(client, pace));
    const p95 = { beside: median(paced.beside.map((each) => each.p95)), without: median(paced.without.map((each) => each.p95)) };
    const pacedRatio = ratioOf(paced);
    say(`retention: at ${pace.perSecond} starts/s ${speed(paced)}; p95 ${p95.beside.toFixed(1)} ms, ${p95.without.toFixed(1)} ms without`);
    await setVacuumInterval(bench, 'second');
    const bytes = await sizes(bench);
    const sizeGrowth = bytes.at(-1)! / bytes[1]!;
    const deletedPerSecond = median(full.deleted);
    const runsPerSecond = median(full.beside.map((each) => each.runsPerSecond));
    return { retention: { ratio, pacedRatio, p95, deletedPerSecond, sizeGrowth, runsPerSecond, rounds: { full, paced, bytes } } };
  } finally {
    await setVacuumInterval(bench, 'default');
    await drop();
  }
}

type Start = (url: string) => Promise<BenchApplication>;
const startPlain: Start = (url) => startApplication(url, OPTIONS);
const startDeleting: Start = (url) => startWithRetention(url, OPTIONS, RETENTION);

interface Rate {
  readonly runsPerSecond: number;
}

/** Rounds with and without retention, and the runs that retention deleted per second. */
interface Pairs<R extends Rate> {
  readonly without: R[];
  readonly beside: R[];
  readonly deleted: number[];
}

const ratioOf = ({ beside, without }: Pairs<Rate>): number =>
  pairedRatio(
    beside.map((each) => each.runsPerSecond),
    without.map((each) => each.runsPerSecond),
  );

const speed = ({ beside, without, deleted }: Pairs<Rate>): string => {
  const rate = (rounds: readonly Rate[]): string => median(rounds.map((each) => each.runsPerSecond)).toFixed(0);
  return `${rate(beside)} runs/s, ${rate(without)} without, ${median(deleted).toFixed(0)} deleted/s`;
};

/** Measures rounds without retention and with retention in turn. */
async function pairs<R extends Rate>(
  bench: Bench,
  url: string,
  rounds: number,
  load: (client: WorkflowClient) => Promise<R>,
): Promise<Pairs<R>> {
  const measured: Pairs<R> = { without: [], beside: [], deleted: [] };
  for (let round = 0; round < rounds; round++) {
    measured.without.push((await oneRound(bench, url, startPlain, load)).result);
    const { result, deletedPerSecond } = await oneRound(bench, url, startDeleting, load);
    measured.beside.push(result);
    measured.deleted.push(deletedPerSecond);
  }
  return measured;
}

async function oneRound<R>({ server }: Bench, url: string, start: Start, load: (client: WorkflowClient) => Promise<R>) {
  await server.checkpoint();
  const application = await start(url);
  try {
    const before = await withClient(url, countExpired);
    const began = performance.now();
    const result = await load(application.client);
    const seconds = (performance.now() - began) / 1_000;
    const after = await withClient(url, countExpired);
    if (start === startDeleting && after === 0) throw new Error('all ended runs were deleted before the measurement was over');
    return { result, deletedPerSecond: (before - after) / seconds };
  } finally {
    await application.close();
  }
}

/**
 * Bytes of the tables in each round, when its runs have been inserted and those of the round before
 * deleted.
 */
async function sizes({ quick, say, server }: Bench): Promise<number[]> {
  const bytes: number[] = [];
  const runs = quick ? 5_000 : 50_000;
  const { url, drop } = await server.createDatabase();
  try {
    await withClient(url, (client) => client.query(migrationSql()));
    for (let round = 0; round < SIZE_ROUNDS[quick ? 'quick' : 'full']; round++) {
      await withClient(url, (client) => insertExpired(client, 0, runs));
      const text = `SELECT sum(pg_total_relation_size(oid))::float8 AS bytes FROM pg_class WHERE relkind = 'r' AND relnamespace = 'durable'::regnamespace`;
      bytes.push((await withClient(url, (client) => client.query<{ bytes: number }>(text))).rows[0]!.bytes);
      say(`retention: ${(bytes.at(-1)! / 1e6).toFixed(1)} MB in round ${round + 1}`);
      const application = await startWithRetention(url, OPTIONS, SHORT_RETENTION);
      try {
        while ((await withClient(url, countExpired)) > 0) await sleep(200);
      } finally {
        await application.close();
      }
      // Autovacuum begins every second, and takes a moment.
      await sleep(3_000);
    }
  } finally {
    await drop();
  }
  return bytes;
}

/**
 * Sets how often autovacuum looks for work: each second, because the rounds are short, or at the
 * server's own interval. Does nothing where the role may not change settings.
 */
async function setVacuumInterval({ server }: Bench, interval: 'second' | 'default'): Promise<void> {
  const change = interval === 'second' ? `ALTER SYSTEM SET autovacuum_naptime = '1s'` : 'ALTER SYSTEM RESET autovacuum_naptime';
  try {
    await server.admin.query(change);
    await server.admin.query('SELECT pg_reload_conf()');
  } catch {
    // A managed server keeps its own interval.
  }
}
