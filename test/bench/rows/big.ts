import { migrationSql } from 'nestjs-durable';
import { startApplication, type BenchApplication } from '../application.js';
import { insertYears } from '../backlog-rows.js';
import type { Bench } from '../bench.js';
import { timeStatements } from '../meters.js';
import { withClient, type BenchDatabase } from '../server.js';
import { median, pairedRatio } from '../statistics.js';
import { ThreeSteps } from '../workflows.js';

/** Number of ended runs; a tenth of it sleep. */
const ENDED = Number(process.env['BENCH_BIG_RUNS'] ?? 10_000_000);
/** Runs of one block, between two blocks of the other database. */
const BLOCK = 16;

interface Side {
  readonly database: BenchDatabase;
  readonly application: BenchApplication;
  /** Medians of the blocks, in milliseconds. */
  readonly start: number[];
  readonly claim: number[];
}

/**
 * Starting and claiming a run, one after another, beside 10 million ended and 1 million sleeping
 * runs, over the same in an empty database.
 */
export async function big({ server, quick, say }: Bench) {
  const sides: Side[] = [];
  const open = async (fill: (database: BenchDatabase) => Promise<void>): Promise<Side> => {
    const database = await server.createDatabase();
    await withClient(database.url, (client) => client.query(migrationSql()));
    await fill(database);
    const side = { database, application: await startApplication(database.url, { eagerStart: false }), start: [], claim: [] };
    sides.push(side);
    return side;
  };
  try {
    const sleeping = Math.round(ENDED / 10);
    const full = await open(({ url }) =>
      withClient(url, (client) => insertYears(client, ENDED, sleeping, (rows) => say(`big: ${rows.toLocaleString('en')} rows`))),
    );
    const empty = await open(async () => undefined);
    await server.checkpoint();
    for (let warmUp = 0; warmUp < 4; warmUp++) for (const side of sides) await block(side);
    for (const { start, claim } of sides) for (const samples of [start, claim]) samples.length = 0;
    for (let round = 0; round < (quick ? 20 : 80); round++) for (const side of [empty, full]) await block(side);
    const result = {
      startPerEmpty: pairedRatio(full.start, empty.start),
      claimPerEmpty: pairedRatio(full.claim, empty.claim),
      start: median(full.start),
      claim: median(full.claim),
      ended: ENDED,
      sleeping,
      rounds: { full: { start: full.start, claim: full.claim }, empty: { start: empty.start, claim: empty.claim } },
    };
    say(`big: start ${result.startPerEmpty.toFixed(2)} x, claim ${result.claimPerEmpty.toFixed(2)} x those in an empty database`);
    return { big: result };
  } finally {
    for (const { application } of sides) await application.close();
    for (const { database } of sides) await database.drop();
  }
}

async function block({ database, application, start, claim }: Side): Promise<void> {
  const starts: number[] = [];
  const claims = await timeStatements(database.name, 'durable_claim', async () => {
    for (let n = 0; n < BLOCK; n++) {
      const began = performance.now();
      const handle = await application.client.start(ThreeSteps, { n });
      starts.push(performance.now() - began);
      await handle.result();
    }
  });
  start.push(median(starts));
  claim.push(median(claims));
}
