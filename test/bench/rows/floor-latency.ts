import type pg from 'pg';
import { writeFour } from '../floor-writes.js';

/** Milliseconds that four single-row autocommit inserts take, one after another; so often. */
export async function floorLatency(client: pg.Client, times: number): Promise<number[]> {
  const samples: number[] = [];
  for (let n = 0; n < times; n++) {
    const began = performance.now();
    await writeFour(client);
    samples.push(performance.now() - began);
  }
  return samples;
}
