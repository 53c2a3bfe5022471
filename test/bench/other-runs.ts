import { setTimeout as sleep } from 'node:timers/promises';

import type { WorkflowClient } from 'nestjs-durable';
import { ThreeSteps } from './workflows.js';

const PAUSE_MS = 10;

/**
 * Measures runs that are started one after another while `work` is under way: milliseconds from
 * start to result.
 */
export async function latenciesWhile(client: WorkflowClient, work: () => Promise<unknown>): Promise<number[]> {
  const samples: number[] = [];
  const over = new AbortController();
  const working = work().finally(() => over.abort());
  while (!over.signal.aborted) {
    const began = performance.now();
    await client.execute(ThreeSteps, { n: 1 });
    samples.push(performance.now() - began);
    await sleep(PAUSE_MS);
  }
  await working;
  return samples;
}
