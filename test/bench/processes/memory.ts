import { setTimeout as sleep } from 'node:timers/promises';

import pg from 'pg';
import { startAsInstalled } from '../application.js';
import { Asleep, Held, heldBodies } from '../memory-workflows.js';
import { measureUsage } from '../meters.js';
import { ThreeSteps } from '../workflows.js';
import { endWithParent, tellParent } from './child.js';

/** Number of runs that one `startMany` suspends. */
const BATCH = 5_000;
/**
 * Number of runs before the first measurement. More than the runs whose histories the worker keeps
 * (a thousand), so that this cache is full, and a whole batch, so that code and buffers are there.
 */
const WARM_UP = BATCH;
const IDLE_MS = 2_000;
/** Shortest pause between two garbage collections, and the least share of time that is pause. */
const SAMPLE_MS = 250;
const PAUSE_SHARE = 0.9;

/** Answers of this process: what was measured. */
export interface ActiveMemory {
  readonly bytesPerRun: number;
}
export interface IdleCost {
  readonly cpuMsPerSecond: number;
  readonly statementsPerSecond: number;
}
export interface SuspendedMemory {
  readonly bytesPerRun: number;
  /** Costs of the idle process: with few suspended runs, and with all. */
  readonly idleWithFew: IdleCost;
  readonly idleWithAll: IdleCost;
}
export interface StartedMemory {
  /** Highest size of what the garbage collector had to keep, beyond that before the call. */
  readonly peakBytes: number;
}

endWithParent();
const [, , what, url, count] = process.argv;
const runs = Number(count);
const admin = new pg.Pool({ connectionString: url, max: 1 });
const isActive = what === 'active';
const { client } = await startAsInstalled(url!, isActive ? { concurrency: WARM_UP + runs } : {}, [ThreeSteps, Held, Asleep]);
for (let n = 0; n < 20; n++) await client.execute(ThreeSteps, { n });
tellParent(isActive ? await active() : what === 'suspended' ? await suspended() : await started());

/** Bytes of heap that are in use once all garbage is gone. */
function usedHeap(): number {
  gc!();
  return process.memoryUsage().heapUsed;
}

async function settledHeap(): Promise<number> {
  // Callbacks of the work just done, and the timers that it left behind.
  for (let tries = 0; tries < 3; tries++) {
    await sleep(100);
    gc!();
  }
  return usedHeap();
}

async function active(): Promise<ActiveMemory> {
  const hold = async (all: number): Promise<number> => {
    await client.startMany(
      Held,
      Array.from({ length: all - heldBodies() }, (_, n) => ({ n })),
    );
    while (heldBodies() < all) await sleep(10);
    return settledHeap();
  };
  const before = await hold(WARM_UP);
  return { bytesPerRun: ((await hold(WARM_UP + runs)) - before) / runs };
}

async function suspended(): Promise<SuspendedMemory> {
  const suspend = async (from: number, to: number): Promise<number> => {
    for (let n = from; n < to; n += BATCH) {
      const inputs = Array.from({ length: Math.min(BATCH, to - n) }, (_, index) => ({ n: n + index }));
      await client.startMany(Asleep, inputs);
    }
    while ((await suspendedRuns()) < to) await sleep(50);
    return settledHeap();
  };
  const before = await suspend(0, WARM_UP);
  const idleWithFew = await idleCost();
  const after = await suspend(WARM_UP, WARM_UP + runs);
  return { bytesPerRun: (after - before) / runs, idleWithFew, idleWithAll: await idleCost() };
}

async function suspendedRuns(): Promise<number> {
  const { rows } = await admin.query<{ n: number }>(
    `SELECT count(*)::int AS n FROM durable.workflow_runs WHERE name = 'asleep' AND status = 'waiting' AND session_id IS NULL`,
  );
  return rows[0]!.n;
}

async function idleCost(): Promise<IdleCost> {
  await sleep(500);
  const { usage } = await measureUsage({ admin }, () => sleep(IDLE_MS));
  return { cpuMsPerSecond: (usage.cpuMs / IDLE_MS) * 1_000, statementsPerSecond: (usage.statements / IDLE_MS) * 1_000 };
}

async function started(): Promise<StartedMemory> {
  const inputs = Array.from({ length: runs }, (_, n) => ({ n }));
  const before = await settledHeap();
  let peak = before;
  const sample = (): number => {
    const began = performance.now();
    peak = Math.max(peak, usedHeap());
    return (performance.now() - began) / (1 - PAUSE_SHARE);
  };
  let sampling: NodeJS.Timeout;
  const sampleAgain = (): void => void (sampling = setTimeout(sampleAgain, Math.max(SAMPLE_MS, sample())));
  sampling = setTimeout(sampleAgain, 0);
  const handles = await client.startMany(ThreeSteps, inputs);
  sample();
  clearTimeout(sampling);
  if (handles.length !== runs) throw new Error(`${handles.length} of ${runs} runs were started`);
  return { peakBytes: peak - before };
}
