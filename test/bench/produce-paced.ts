import { setTimeout as sleep } from 'node:timers/promises';
import type { WorkflowClient } from 'nestjs-durable';
import { median, percentile } from './statistics.js';
import { ThreeSteps } from './workflows.js';

export interface Pace {
  /** Number of runs that are started per second, whatever the number of runs in flight. */
  readonly perSecond: number;
  readonly seconds: number;
}

export interface PacedRuns {
  /** Completed runs per second, counted until the last start. */
  readonly runsPerSecond: number;
  /** Time from the start of a run to its result, in milliseconds. */
  readonly p50: number;
  readonly p95: number;
}

/** Pause between two groups of starts, in milliseconds. */
const PAUSE_MS = 10;

/** Starts runs at a constant rate, as requests of users arrive, and waits for all results. */
export async function producePaced(client: WorkflowClient, { perSecond, seconds }: Pace): Promise<PacedRuns> {
  const total = perSecond * seconds;
  const times: number[] = [];
  const pending: Promise<void>[] = [];
  const began = performance.now();
  const one = async (n: number): Promise<void> => {
    const since = performance.now();
    const handle = await client.start(ThreeSteps, { n });
    await handle.result();
    times.push(performance.now() - since);
  };
  while (pending.length < total) {
    const due = Math.min(total, Math.floor(((performance.now() - began) / 1_000) * perSecond));
    while (pending.length < due) pending.push(one(pending.length));
    await sleep(PAUSE_MS);
  }
  const completed = times.length;
  const runsPerSecond = completed / ((performance.now() - began) / 1_000);
  await Promise.all(pending);
  return { runsPerSecond, p50: median(times), p95: percentile(times, 0.95) };
}
