import { startApplication } from '../application.js';
import type { Bench } from '../bench.js';
import { commitsOf, measureUsage } from '../meters.js';
import { produce, type Load, type Produced } from '../produce.js';
import { median, medianOrNull, pairedRatio } from '../statistics.js';
import { floorBatched } from './floor-batched.js';
import { floorUnbatched } from './floor-unbatched.js';
import { throughputInstalled } from './throughput-installed.js';

/** Runs that the worker executes at a time. */
export const CONCURRENCY = 500;
/**
 * Slots with eager start: enough for all runs that the producer has under way. A run that the
 * worker does not admit would go through the poller.
 */
const LOCAL_CONCURRENCY = 2_500;
/** Runs that the producer has under way at a time. */
export const IN_FLIGHT = 2_000;

interface Round extends Produced {
  readonly cpuMsPerRun: number;
  readonly serverCpuMsPerRun: number | null;
  readonly totalCpuMsPerRun: number | null;
  readonly commitsPerRun: number;
  readonly statementsPerRun: number;
  readonly walBytesPerRun: number;
}

/** Three-step runs, client and worker in one process, on tables that were empty at first. */
export async function throughput(bench: Bench) {
  const { quick, say } = bench;
  const load: Load = quick ? { runs: 12_000, inFlight: IN_FLIGHT, maxSeconds: 6 } : { runs: 60_000, inFlight: IN_FLIGHT, maxSeconds: 60 };
  const bootCommits = await idleCommits(bench);
  for (const eagerStart of [false, true]) await oneRound(bench, eagerStart, { ...load, runs: 4_000, maxSeconds: 3 }, 0);

  const unbatched: number[] = [];
  const batched: number[] = [];
  const polled: Round[] = [];
  const local: Round[] = [];
  for (let round = 0; round < (quick ? 3 : 5); round++) {
    // Next to each other is what is compared.
    polled.push(await oneRound(bench, false, load, bootCommits));
    unbatched.push(await floorUnbatched(bench));
    local.push(await oneRound(bench, true, load, bootCommits));
    batched.push(await floorBatched(bench));
    const [u, b, p, l] = [unbatched, batched, polled.map(speed), local.map(speed)].map((speeds) => speeds.at(-1)!.toFixed(0));
    say(`throughput: unbatched ${u}, batched ${b}, poller ${p}, local ${l} runs/s`);
  }
  const sustained = quick ? {} : { sustained: await oneRound(bench, false, { ...load, runs: Number.MAX_SAFE_INTEGER }, bootCommits) };
  const installed = await throughputInstalled(bench, IN_FLIGHT);
  return {
    floor: { unbatched: median(unbatched), batched: median(batched) },
    throughput: {
      ...summary(polled),
      perUnbatched: pairedRatio(polled.map(speed), unbatched),
      perBatched: pairedRatio(polled.map(speed), batched),
      localRunsPerSecond: median(local.map(speed)),
      localPerUnbatched: pairedRatio(local.map(speed), unbatched),
      localPerBatched: pairedRatio(local.map(speed), batched),
      local: summary(local),
      concurrency: CONCURRENCY,
      localConcurrency: LOCAL_CONCURRENCY,
      inFlight: IN_FLIGHT,
      ...sustained,
      installed,
      rounds: { unbatched, batched, polled, local },
    },
  };
}

function speed(round: Produced): number {
  return round.runsPerSecond;
}

function summary(rounds: readonly Round[]) {
  return {
    runsPerSecond: median(rounds.map(speed)),
    lastFifthOverFirst: median(rounds.map((round) => round.lastFifthOverFirst)),
    cpuMsPerRun: median(rounds.map((round) => round.cpuMsPerRun)),
    serverCpuMsPerRun: medianOrNull(rounds.map((round) => round.serverCpuMsPerRun)),
    totalCpuMsPerRun: medianOrNull(rounds.map((round) => round.totalCpuMsPerRun)),
    commitsPerRun: median(rounds.map((round) => round.commitsPerRun)),
    statementsPerRun: median(rounds.map((round) => round.statementsPerRun)),
    walBytesPerRun: median(rounds.map((round) => round.walBytesPerRun)),
  };
}

async function oneRound({ server }: Bench, eagerStart: boolean, load: Load, bootCommits: number): Promise<Round> {
  const database = await server.createDatabase();
  try {
    await server.checkpoint();
    const application = await startApplication(database.url, {
      concurrency: eagerStart ? LOCAL_CONCURRENCY : CONCURRENCY,
      eagerStart,
    });
    let measured: Awaited<ReturnType<typeof measureUsage<Produced>>>;
    try {
      measured = await measureUsage(server, () => produce(application.client, load));
    } finally {
      await application.close();
    }
    const { usage, value } = measured;
    const commits = (await commitsOf(server, database.name)) - bootCommits;
    return {
      ...value,
      cpuMsPerRun: usage.cpuMs / value.completed,
      serverCpuMsPerRun: usage.serverCpuMs === null ? null : usage.serverCpuMs / value.completed,
      totalCpuMsPerRun: usage.serverCpuMs === null ? null : (usage.cpuMs + usage.serverCpuMs) / value.completed,
      commitsPerRun: commits / value.completed,
      statementsPerRun: usage.statements / value.completed,
      walBytesPerRun: usage.walBytes / value.completed,
    };
  } finally {
    await database.drop();
  }
}

/** Commits of an application that boots and closes. */
async function idleCommits({ server }: Bench): Promise<number> {
  const database = await server.createDatabase();
  try {
    const application = await startApplication(database.url);
    await application.close();
    return await commitsOf(server, database.name);
  } finally {
    await database.drop();
  }
}
