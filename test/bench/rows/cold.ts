import type { Bench } from '../bench.js';
import { startChild } from '../processes/child.js';
import type { ColdRuns } from '../processes/cold.js';
import { median, medianOrNull, pairedRatio } from '../statistics.js';
import { openUnbatchedFloor, type UnbatchedFloor } from './floor-unbatched.js';

const RUNS = 2_000;

/** Ways of a run to the worker: through the poller, or at once, as is the default. */
const STARTS = ['poller', 'eager'] as const;
type Start = (typeof STARTS)[number];

interface Round {
  readonly runsPerSecond: number;
  /** The mean of the floor right before and right after. */
  readonly unbatched: number;
  readonly cpuMsPerRun: number;
  readonly serverCpuMsPerRun: number | null;
  readonly statementsPerRun: number;
  readonly flushesPerRun: number;
}

/**
 * 2,000 three-step runs, all started at once by a process that has just booted and executes them
 * itself, with default options.
 */
export async function cold(bench: Bench) {
  const { server, quick, say } = bench;
  const rounds: Record<Start, Round[]> = { poller: [], eager: [] };
  const floor = await openUnbatchedFloor(server);
  try {
    for (let round = 0; round < (quick ? 3 : 7); round++) {
      for (const start of STARTS) rounds[start].push(await oneRound(bench, floor, start));
      const [poller, eager] = STARTS.map((start) => rounds[start].at(-1)!);
      say(
        `cold: poller ${poller!.runsPerSecond.toFixed(0)} (unbatched ${poller!.unbatched.toFixed(0)}), eager ${eager!.runsPerSecond.toFixed(0)} (${eager!.unbatched.toFixed(0)}) runs/s`,
      );
    }
  } finally {
    await floor.close();
  }
  return { cold: { runs: RUNS, poller: summary(rounds.poller), eager: summary(rounds.eager), rounds } };
}

async function oneRound({ server, quick }: Bench, floor: UnbatchedFloor, start: Start): Promise<Round> {
  const database = await server.createDatabase();
  const child = startChild('cold', [database.url, String(RUNS), start], { env: { NODE_ENV: 'production' } });
  try {
    await child.message();
    await server.checkpoint();
    const before = await floor.measure(quick ? 0.7 : 1.5);
    const { seconds, usage } = await child.ask<ColdRuns>('go');
    const after = await floor.measure(quick ? 0.7 : 1.5);
    return {
      runsPerSecond: RUNS / seconds,
      unbatched: (before + after) / 2,
      cpuMsPerRun: usage.cpuMs / RUNS,
      serverCpuMsPerRun: usage.serverCpuMs === null ? null : usage.serverCpuMs / RUNS,
      statementsPerRun: usage.statements / RUNS,
      flushesPerRun: usage.flushes / RUNS,
    };
  } finally {
    await child.kill();
    await database.drop();
  }
}

function summary(rounds: readonly Round[]) {
  const speeds = rounds.map((round) => round.runsPerSecond);
  return {
    runsPerSecond: median(speeds),
    perUnbatched: pairedRatio(
      speeds,
      rounds.map((round) => round.unbatched),
    ),
    cpuMsPerRun: median(rounds.map((round) => round.cpuMsPerRun)),
    serverCpuMsPerRun: medianOrNull(rounds.map((round) => round.serverCpuMsPerRun)),
    statementsPerRun: median(rounds.map((round) => round.statementsPerRun)),
    flushesPerRun: median(rounds.map((round) => round.flushesPerRun)),
  };
}
