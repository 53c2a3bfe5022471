import { migrationSql } from 'nestjs-durable';
import pg from 'pg';
import { startApplication } from '../application.js';
import { insertBacklog } from '../backlog-rows.js';
import type { Bench } from '../bench.js';
import { produce, type Load, type Produced } from '../produce.js';
import { withClient, type BenchDatabase } from '../server.js';
import { median, pairedRatio } from '../statistics.js';
import { CONCURRENCY, IN_FLIGHT } from './throughput.js';

/**
 * Throughput through the poller beside 100,000 sleeping, 100,000 delayed and 100,000 ended runs,
 * 10,000 runs of an unknown version and a snapshot that is held all the time, over throughput in an
 * empty database.
 */
export async function backlog(bench: Bench) {
  const { server, quick, say } = bench;
  const plain = await server.createDatabase();
  const filled = await server.createDatabase();
  let snapshot: pg.Client | undefined;
  try {
    await withClient(plain.url, (client) => client.query(migrationSql()));
    await withClient(filled.url, (client) => client.query(migrationSql()));
    await insertBacklog(filled.url);
    say('backlog: the rows are there');
    snapshot = await holdSnapshot(filled.url);

    const load: Load = quick ? { runs: 6_000, inFlight: IN_FLIGHT, maxSeconds: 4 } : { runs: 40_000, inFlight: IN_FLIGHT, maxSeconds: 40 };
    await oneRound(bench, plain, { ...load, runs: 3_000, maxSeconds: 2 });
    const without: number[] = [];
    const beside: number[] = [];
    for (let round = 0; round < (quick ? 3 : 5); round++) {
      without.push((await oneRound(bench, plain, load)).runsPerSecond);
      beside.push((await oneRound(bench, filled, load)).runsPerSecond);
    }
    const result = {
      ratio: pairedRatio(beside, without),
      runsPerSecond: median(beside),
      withoutRunsPerSecond: median(without),
      rounds: { without, beside },
    };
    say(`backlog: ${result.runsPerSecond.toFixed(0)} runs/s, ${result.withoutRunsPerSecond.toFixed(0)} without`);
    return { backlog: result };
  } finally {
    await snapshot?.end();
    await plain.drop();
    await filled.drop();
  }
}

async function oneRound({ server }: Bench, database: BenchDatabase, load: Load): Promise<Produced> {
  await server.checkpoint();
  const application = await startApplication(database.url, { concurrency: CONCURRENCY, eagerStart: false });
  try {
    return await produce(application.client, load);
  } finally {
    await application.close();
  }
}

/** As a report or a backup that takes long does: while it lasts, no dead row can be removed. */
async function holdSnapshot(url: string): Promise<pg.Client> {
  const client = new pg.Client({ connectionString: url });
  client.on('error', () => undefined);
  await client.connect();
  await client.query('BEGIN ISOLATION LEVEL REPEATABLE READ');
  await client.query('SELECT count(*) FROM durable.workflow_sessions');
  return client;
}
