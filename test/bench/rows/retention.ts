import { setTimeout as sleep } from 'node:timers/promises';
import { migrationSql } from 'nestjs-durable';
import { startApplication, startWithRetention, type BenchApplication } from '../application.js';
import { countExpired, insertExpired } from '../backlog-rows.js';
import type { Bench } from '../bench.js';
import { produce, type Load } from '../produce.js';
import { withClient } from '../server.js';
import { median, pairedRatio } from '../statistics.js';
import { CONCURRENCY, IN_FLIGHT } from './throughput.js';

const RETENTION = { completed: '1 day' } as const;
/** Retention with short pauses between two rounds through all runs. */
const SHORT_RETENTION = { completed: '1 minute' } as const;
const OPTIONS = { concurrency: CONCURRENCY, eagerStart: false };
/** Rounds of deletions after which the tables must not be larger than after the second one. */
const SIZE_ROUNDS = { quick: 4, full: 10 };

/**
 * Throughput while retention deletes 1,000,000 ended runs of three steps (quick: 50,000), over
 * throughput in the same database without retention. Then the size of the tables while as many runs
 * as before are inserted and deleted again and again.
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
    const load: Load = quick ? { runs: 6_000, inFlight: IN_FLIGHT, maxSeconds: 4 } : { runs: 40_000, inFlight: IN_FLIGHT, maxSeconds: 20 };
    const without: number[] = [];
    const beside: number[] = [];
    const deleted: number[] = [];
    await oneRound(bench, url, { ...load, runs: 3_000, maxSeconds: 2 }, startPlain);
    for (let round = 0; round < 5; round++) {
      without.push((await oneRound(bench, url, load, startPlain)).runsPerSecond);
      const measured = await oneRound(bench, url, load, startDeleting);
      beside.push(measured.runsPerSecond);
      deleted.push(measured.deletedPerSecond);
    }
    const ratio = pairedRatio(beside, without);
    say(`retention: ${median(beside).toFixed(0)} runs/s, ${median(without).toFixed(0)} without, ${median(deleted).toFixed(0)} deleted/s`);
    await frequentVacuum(bench, true);
    const bytes = await sizes(bench);
    const sizeGrowth = bytes.at(-1)! / bytes[1]!;
    const rounds = { without, beside, deleted, bytes };
    return { retention: { ratio, deletedPerSecond: median(deleted), sizeGrowth, runsPerSecond: median(beside), rounds } };
  } finally {
    await frequentVacuum(bench, false);
    await drop();
  }
}

type Start = (url: string) => Promise<BenchApplication>;
const startPlain: Start = (url) => startApplication(url, OPTIONS);
const startDeleting: Start = (url) => startWithRetention(url, OPTIONS, RETENTION);

async function oneRound({ server }: Bench, url: string, load: Load, start: Start) {
  await server.checkpoint();
  const application = await start(url);
  try {
    const before = await withClient(url, countExpired);
    const { runsPerSecond, seconds } = await produce(application.client, load);
    const after = await withClient(url, countExpired);
    if (start === startDeleting && after === 0) throw new Error('all ended runs were deleted before the measurement was over');
    return { runsPerSecond, deletedPerSecond: (before - after) / seconds };
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
 * Lets autovacuum look for work each second instead of each minute, because the rounds are short.
 * Does nothing where the role may not change settings.
 */
async function frequentVacuum({ server }: Bench, isFrequent: boolean): Promise<void> {
  const change = isFrequent ? `ALTER SYSTEM SET autovacuum_naptime = '1s'` : 'ALTER SYSTEM RESET autovacuum_naptime';
  try {
    await server.admin.query(change);
    await server.admin.query('SELECT pg_reload_conf()');
  } catch {
    // A managed server keeps its own interval.
  }
}
