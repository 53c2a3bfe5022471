import { setTimeout as sleep } from 'node:timers/promises';

import { migrationSql } from 'nestjs-durable';
import { startClient } from '../application.js';
import { insertDue } from '../backlog-rows.js';
import type { Bench } from '../bench.js';
import { measureUsage } from '../meters.js';
import { IN_PRODUCTION, startChild, type Child } from '../processes/child.js';
import { withClient, type BenchDatabase } from '../server.js';
import { median, pairedRatio } from '../statistics.js';
import { ThreeSteps } from '../workflows.js';

const WORKERS = [1, 2, 4] as const;
type Workers = (typeof WORKERS)[number];
const LOOK_MS = 100;

interface Drained {
  readonly runsPerSecond: number;
  /** CPU time of all workers, and of PostgreSQL if that is known. */
  readonly cpuMsPerRun: number;
}

/** A backlog of three-step runs that 1, 2 and 4 worker processes with default options execute. */
export async function scale(bench: Bench) {
  const { quick, say } = bench;
  const runs = quick ? 4_000 : 30_000;
  const rounds: Record<Workers, Drained[]> = { 1: [], 2: [], 4: [] };
  const children = Array.from({ length: Math.max(...WORKERS) }, () => startChild('worker', [], IN_PRODUCTION));
  try {
    // Each process becomes equally warm.
    for (const child of children) await drain(bench, [child], runs);
    for (let round = 0; round < (quick ? 2 : 5); round++) {
      for (const workers of WORKERS) rounds[workers].push(await drain(bench, children.slice(0, workers), runs));
      say(`scale: ${WORKERS.map((workers) => `${workers}: ${rounds[workers].at(-1)!.runsPerSecond.toFixed(0)}`).join(', ')} runs/s`);
    }
  } finally {
    await Promise.all(children.map((child) => child.kill()));
  }
  const over = (workers: Workers) => {
    const of = (key: keyof Drained, count: Workers): number[] => rounds[count].map((round) => round[key]);
    return {
      runsPerSecond: median(of('runsPerSecond', workers)),
      cpuMsPerRun: median(of('cpuMsPerRun', workers)),
      perOne: pairedRatio(of('runsPerSecond', workers), of('runsPerSecond', 1)),
      cpuPerOne: pairedRatio(of('cpuMsPerRun', workers), of('cpuMsPerRun', 1)),
    };
  };
  return { scale: { one: over(1), two: over(2), four: over(4), runs, rounds } };
}

async function drain({ server }: Bench, workers: readonly Child[], runs: number): Promise<Drained> {
  const database = await server.createDatabase();
  const askAll = (question: string): Promise<number[]> => Promise.all(workers.map((worker) => worker.ask<number>(question)));
  try {
    await withClient(database.url, (client) => client.query(migrationSql()));
    await askAll(database.url);
    await server.checkpoint();
    const before = sum(await askAll('cpu'));
    const { usage, value: seconds } = await measureUsage(server, () => untilDrained(database, runs));
    const cpuMs = sum(await askAll('cpu')) - before + (usage.serverCpuMs ?? 0);
    return { runsPerSecond: runs / seconds, cpuMsPerRun: cpuMs / runs };
  } finally {
    await askAll('close');
    await database.drop();
  }
}

/** Inserts the runs and waits for their end. Returns seconds. */
async function untilDrained(database: BenchDatabase, runs: number): Promise<number> {
  const { client, close } = await startClient(database.url);
  try {
    return await withClient(database.url, async (sql) => {
      await insertDue(sql, runs - 1);
      // The start of the last one tells all workers at once that runs are due.
      await client.start(ThreeSteps, { n: 1 });
      const isDone = async (): Promise<boolean> => (await sql.query(UNFINISHED)).rowCount === 0;
      while (!(await isDone())) await sleep(LOOK_MS);
      return (await sql.query<{ seconds: number }>(SECONDS)).rows[0]!.seconds;
    });
  } finally {
    await close();
  }
}

const UNFINISHED = 'SELECT 1 FROM durable.workflow_runs WHERE finished_at IS NULL LIMIT 1';
/** Seconds from the first claim to the last completion. */
const SECONDS = 'SELECT extract(epoch FROM max(finished_at) - min(started_at))::float8 AS seconds FROM durable.workflow_runs';

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}
