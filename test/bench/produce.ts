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

/** A workflow whose runs differ by a number. */
export type NumberedWorkflow = new () => { run(input: { n: number }): Promise<unknown> };

/** Starts runs like a producer that always has more to do, and waits for each result. */
export async function produce(
  client: WorkflowClient,
  { runs, inFlight, maxSeconds }: Load,
  workflow: NumberedWorkflow = ThreeSteps,
): Promise<Produced> {
  const ends: number[] = [];
  const deadline = performance.now() + maxSeconds * 1_000;
  let counting = true;
  let n = 0;
  const lane = async (): Promise<void> => {
    while (counting) {
      const handle = await client.start(workflow, { n: n++ });
      await handle.result();
      const now = performance.now();
      if (counting) ends.push(now);
      if (ends.length >= inFlight + runs || now > deadline) counting = false;
    }
  };
  await Promise.all(Array.from({ length: inFlight }, lane));
  return { ...rates(ends.slice(Math.min(inFlight, ends.length >> 1))), completed: n };
}

/** Starts all runs at once and waits for the result of each. */
export async function produceAtOnce(client: WorkflowClient, runs: number): Promise<Produced> {
  const ends: number[] = [];
  const one = async (n: number): Promise<void> => {
    const handle = await client.start(ThreeSteps, { n });
    if ((await handle.result()) !== n + 3) throw new Error(`run ${n} has ended with another result`);
    ends.push(performance.now());
  };
  const began = performance.now();
  await Promise.all(Array.from({ length: runs }, (_, n) => one(n)));
  return { ...rates([began, ...ends]), completed: runs };
}

function rates(ends: readonly number[]): Omit<Produced, 'completed'> {
  const runs = ends.length - 1;
  const secondsOf = (from: number, to: number): number => (ends[to]! - ends[from]!) / 1_000;
  const fifth = Math.floor(runs / 5);
  const seconds = secondsOf(0, runs);
  return { runs, seconds, runsPerSecond: runs / seconds, lastFifthOverFirst: secondsOf(0, fifth) / secondsOf(runs - fifth, runs) };
}
