import type { Bench } from '../bench.js';
import { IN_PRODUCTION, startChild } from '../processes/child.js';
import type { InstalledLoad, InstalledWork } from '../processes/installed.js';
import { median, medianOrNull, pairedRatio } from '../statistics.js';
import type { UnbatchedFloor } from './floor-unbatched.js';

/** Ways of a run to the worker: through the poller, or at once, as is the default. */
export const STARTS = ['poller', 'eager'] as const;
export type Start = (typeof STARTS)[number];

/** A measurement in a process of its own, between two of the floor. */
export interface InstalledRound {
  readonly runsPerSecond: number;
  /** Mean of the floor right before and right after. */
  readonly unbatched: number;
  readonly lastFifthOverFirst: number;
  readonly cpuMsPerRun: number;
  readonly serverCpuMsPerRun: number | null;
  readonly totalCpuMsPerRun: number | null;
  readonly statementsPerRun: number;
  readonly flushesPerRun: number;
}

/**
 * Has a process do the work that has just booted, executes the runs that it starts, and has default
 * options.
 */
export async function installedRound(
  { server, quick }: Bench,
  floor: UnbatchedFloor,
  start: Start,
  load: InstalledLoad,
): Promise<InstalledRound> {
  const database = await server.createDatabase();
  const child = startChild('installed', [database.url, start, JSON.stringify(load)], IN_PRODUCTION);
  try {
    await child.message();
    await server.checkpoint();
    const before = await floor.measure(quick ? 0.7 : 1.5);
    const { runsPerSecond, completed, lastFifthOverFirst, usage } = await child.ask<InstalledWork>('work');
    const after = await floor.measure(quick ? 0.7 : 1.5);
    const { cpuMs, serverCpuMs } = usage;
    return {
      runsPerSecond,
      unbatched: (before + after) / 2,
      lastFifthOverFirst,
      cpuMsPerRun: cpuMs / completed,
      serverCpuMsPerRun: serverCpuMs === null ? null : serverCpuMs / completed,
      totalCpuMsPerRun: serverCpuMs === null ? null : (cpuMs + serverCpuMs) / completed,
      statementsPerRun: usage.statements / completed,
      flushesPerRun: usage.flushes / completed,
    };
  } finally {
    await child.kill();
    await database.drop();
  }
}

export function summaryOf(rounds: readonly InstalledRound[]) {
  const all = <K extends keyof InstalledRound>(key: K): InstalledRound[K][] => rounds.map((round) => round[key]);
  return {
    runsPerSecond: median(all('runsPerSecond')),
    perUnbatched: pairedRatio(all('runsPerSecond'), all('unbatched')),
    lastFifthOverFirst: median(all('lastFifthOverFirst')),
    cpuMsPerRun: median(all('cpuMsPerRun')),
    serverCpuMsPerRun: medianOrNull(all('serverCpuMsPerRun')),
    totalCpuMsPerRun: medianOrNull(all('totalCpuMsPerRun')),
    statementsPerRun: median(all('statementsPerRun')),
    flushesPerRun: median(all('flushesPerRun')),
  };
}

/** Measures both ways in turn. */
export async function installedRounds(bench: Bench, floor: UnbatchedFloor, name: string, load: InstalledLoad, count: number) {
  const rounds: Record<Start, InstalledRound[]> = { poller: [], eager: [] };
  for (let round = 0; round < count; round++) {
    for (const start of STARTS) {
      const measured = await installedRound(bench, floor, start, load);
      rounds[start].push(measured);
      bench.say(`${name}: ${start} ${measured.runsPerSecond.toFixed(0)} runs/s, unbatched ${measured.unbatched.toFixed(0)}`);
    }
  }
  return { poller: summaryOf(rounds.poller), eager: summaryOf(rounds.eager), rounds };
}
