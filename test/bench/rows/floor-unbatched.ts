import type { Bench } from '../bench.js';
import { openFloor, rateOf, writeRun } from '../floor-writes.js';
import type { BenchServer } from '../server.js';

/** Writes runs on 10 connections, each write as a statement of its own. */
export interface UnbatchedFloor {
  /** Returns the runs per second of so many seconds. */
  measure(seconds: number): Promise<number>;
  close(): Promise<void>;
}

export async function openUnbatchedFloor(server: BenchServer): Promise<UnbatchedFloor> {
  const floor = await openFloor(server, 10);
  await rateOf(floor.clients, 0.3, writeRun);
  return { measure: (seconds) => rateOf(floor.clients, seconds, writeRun), close: () => floor.close() };
}

/** Measures runs per second where each write is a statement of its own, on new tables. */
export async function floorUnbatched({ server, quick }: Bench): Promise<number> {
  const floor = await openUnbatchedFloor(server);
  try {
    return await floor.measure(quick ? 1.5 : 3);
  } finally {
    await floor.close();
  }
}
