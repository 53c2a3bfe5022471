import { migrationSql, type WorkflowClient } from 'nestjs-durable';
import { startClient } from '../application.js';
import type { Bench } from '../bench.js';
import { COUNTS, FAILURES, LISTS, type Listed, type ListQuery } from '../list-queries.js';
import { insertListed } from '../list-rows.js';
import { withClient } from '../server.js';
import { median, percentile } from '../statistics.js';

/** Number of samples of a query. After `ms` milliseconds, no more than the least are taken. */
const SAMPLES = { least: 20, most: 100, ms: 1_000 };

interface Timed {
  readonly p50: number;
  readonly p95: number;
  readonly samples: number;
  /** Number of runs, counted runs or groups that the last sample has found. */
  readonly found: number;
}

/**
 * Time from call to result of every filter of `client.list` and `client.count`, and of
 * `client.failures`, beside 1,000,000 runs (quick: 50,000). The tables are analysed, and each query
 * has been executed twice before.
 */
export async function list({ server, quick, say }: Bench) {
  const { url, drop } = await server.createDatabase();
  try {
    await withClient(url, (client) => client.query(migrationSql()));
    const runs = quick ? 50_000 : 1_000_000;
    await insertListed(url, runs, (rows) => say(`list: ${rows.toLocaleString('en')} runs`));
    await server.checkpoint();
    const { client, close } = await startClient(url);
    try {
      const listed = await describeListed(client, runs);
      const timeAll = async <T>(name: string, queries: readonly ListQuery<T>[], execute: (options: T) => Promise<number>) => {
        const timed: Record<string, Timed> = {};
        for (const { key, label, make } of queries) {
          timed[key] = await time((sample) => execute(make(listed, sample)));
          say(`list: ${name}, ${label}: ${timed[key].p95.toFixed(1)} ms at p95`);
        }
        return timed;
      };
      const lists = await timeAll('list', LISTS, async (options) => (await client.list(options)).runs.length);
      const counts = await timeAll('count', COUNTS, (filter) => client.count(filter));
      const failures = await timeAll('failures', FAILURES, async (options) => (await client.failures(options)).length);
      return { list: { runs, list: lists, count: counts, failures } };
    } finally {
      await close();
    }
  } finally {
    await drop();
  }
}

/** Reads the newest run, and all pages up to the middle. */
async function describeListed(client: WorkflowClient, runs: number): Promise<Listed> {
  const newest = (await client.list({ limit: 1 })).runs[0]!;
  let middle: string | undefined;
  for (let read = 0; read < runs / 2; read += 1_000) middle = (await client.list({ limit: 1_000, cursor: middle })).cursor;
  return { runs, end: newest.createdAt.getTime(), middle };
}

async function time(execute: (sample: number) => Promise<number>): Promise<Timed> {
  for (let sample = 0; sample < 2; sample++) await execute(sample);
  const times: number[] = [];
  let found = 0;
  const first = performance.now();
  while (times.length < SAMPLES.least || (times.length < SAMPLES.most && performance.now() - first < SAMPLES.ms)) {
    const began = performance.now();
    found = await execute(times.length);
    times.push(performance.now() - began);
  }
  return { p50: median(times), p95: percentile(times, 0.95), samples: times.length, found };
}
