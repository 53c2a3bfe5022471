import type { WorkflowClient } from 'nestjs-durable';
import { ThreeSteps } from './workflows.js';

export interface Load {
  /** Number of completed runs to count. */
  readonly runs: number;
  /** Number of runs that are started and not yet completed at any time. */
  readonly inFlight: number;
  /** Counting ends then at the latest. */
  readonly maxSeconds: number;
}

export interface Produced {
  /**
   * Number of counted runs: neither the first ones, while the producer fills the pipeline, nor
   * those in flight at the end.
   */
  readonly runs: number;
  /** All that was started, and completed. */
  readonly completed: number;
  readonly seconds: number;
  readonly runsPerSecond: number;
  /** The speed of the last fifth of the counted runs over that of the first. */
  readonly lastFifthOverFirst: number;
}

/** Starts three-step runs like a producer that always has more to do, and waits for each result. */
export async function produce(client: WorkflowClient, { runs, inFlight, maxSeconds }: Load): Promise<Produced> {
  const ends: number[] = [];
  const deadline = performance.now() + maxSeconds * 1_000;
  let counting = true;
  let n = 0;
  const lane = async (): Promise<void> => {
    while (counting) {
      const handle = await client.start(ThreeSteps, { n: n++ });
      await handle.result();
      const now = performance.now();
      if (counting) ends.push(now);
      if (ends.length >= inFlight + runs || now > deadline) counting = false;
    }
  };
  await Promise.all(Array.from({ length: inFlight }, lane));
  return { ...rates(ends.slice(Math.min(inFlight, ends.length >> 1))), completed: n };
}

function rates(ends: readonly number[]): Omit<Produced, 'completed'> {
  const runs = ends.length - 1;
  const secondsOf = (from: number, to: number): number => (ends[to]! - ends[from]!) / 1_000;
  const fifth = Math.floor(runs / 5);
  const seconds = secondsOf(0, runs);
  return { runs, seconds, runsPerSecond: runs / seconds, lastFifthOverFirst: secondsOf(0, fifth) / secondsOf(runs - fifth, runs) };
}
