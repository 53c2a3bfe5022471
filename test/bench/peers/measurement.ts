import type { Bench } from '../bench.js';
import { openFloor } from '../floor-writes.js';
import { findPostmaster, serverCpuMs } from '../meters.js';
import { floorLatency } from '../rows/floor-latency.js';
import { floorUnbatched } from '../rows/floor-unbatched.js';
import { median } from '../statistics.js';
import { startSystem, type SystemTask } from './system-process.js';

/** Four-insert probes on each side of the single runs. */
const FLOOR_TIMES = 60;

/** Figures of one system, set up in one way, in one round. */
export interface Measurement {
  readonly runsPerSecond: number;
  /** Runs that the burst completed within its limit. */
  readonly completed: number;
  readonly unbatchedPerSecond: number;
  readonly cpuMsPerRun: number;
  readonly serverCpuMsPerRun: number | null;
  /** Milliseconds from the start to the result; null where a caller cannot wait for one. */
  readonly resultP50: number | null;
  /** Milliseconds from the start to the end of the body; null after a burst that was cut. */
  readonly bodyP50: number | null;
  readonly fourInsertsP50: number;
}

/** Measures one system in a fresh process and database, with probes of the floor on both sides. */
export async function measureSystem(bench: Bench, node: string, task: Omit<SystemTask, 'url'>): Promise<Measurement> {
  const { server } = bench;
  const database = await server.createDatabase();
  try {
    const unbatched = [await floorUnbatched(bench)];
    await server.checkpoint();
    const system = await startSystem(node, { ...task, url: database.url });
    try {
      const serverPid = system.serverPid ?? (await findPostmaster(server));
      const cpuBefore = serverCpuMs(serverPid);
      const burst = await system.burst();
      const cpuAfter = serverCpuMs(serverPid);
      unbatched.push(await floorUnbatched(bench));
      const floors = await fourInserts(bench);
      const isDrained = burst.completed >= task.runs;
      const single = isDrained ? await system.latency() : undefined;
      floors.push(...(await fourInserts(bench)));
      return {
        runsPerSecond: burst.completed / burst.seconds,
        completed: burst.completed,
        unbatchedPerSecond: (unbatched[0]! + unbatched[1]!) / 2,
        cpuMsPerRun: burst.cpuMs / burst.completed,
        serverCpuMsPerRun: cpuBefore === null || cpuAfter === null ? null : (cpuAfter - cpuBefore) / burst.completed,
        resultP50: single && single.toResult.length > 0 ? median(single.toResult) : null,
        bodyP50: single ? median(single.toBody) : null,
        fourInsertsP50: median(floors),
      };
    } finally {
      await system.kill();
    }
  } finally {
    await database.drop();
  }
}

async function fourInserts({ server }: Bench): Promise<number[]> {
  const floor = await openFloor(server, 1);
  try {
    // The first calls plan and connect.
    await floorLatency(floor.clients[0]!, 10);
    return await floorLatency(floor.clients[0]!, FLOOR_TIMES);
  } finally {
    await floor.close();
  }
}
