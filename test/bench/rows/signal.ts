import { setTimeout as sleep } from 'node:timers/promises';

import type { WorkflowClient, WorkflowHandle } from 'nestjs-durable';
import { startApplication } from '../application.js';
import type { Bench } from '../bench.js';
import { openFloor } from '../floor-writes.js';
import { median, pairedRatio } from '../statistics.js';
import { listeners, Listener, poke } from '../workflows.js';
import { floorLatency } from './floor-latency.js';

const BLOCK = 16;
const SUSPEND_AFTER_MS = 1;

/**
 * Milliseconds from sending a signal to the code that waits for it, in one process: for an active
 * run, and for a suspended one.
 */
export async function signal(bench: Bench) {
  const { server, quick } = bench;
  const floor = await openFloor(server, 1);
  const database = await server.createDatabase();
  const application = await startApplication(database.url);
  const client = floor.clients[0]!;
  const floors: number[] = [];
  const p50s: number[] = [];
  const all: number[] = [];
  try {
    await floorLatency(client, 150);
    await pokes(await application.client.start(Listener), 100);
    for (let round = 0; round < (quick ? 20 : 80); round++) {
      floors.push(median(await floorLatency(client, BLOCK)));
      const samples = await pokes(await application.client.start(Listener), BLOCK);
      p50s.push(median(samples));
      all.push(...samples);
    }
  } finally {
    await application.close();
    await floor.close();
  }
  const suspending = await startApplication(database.url, { suspendAfter: SUSPEND_AFTER_MS });
  try {
    const suspended = await suspendedPokes(suspending.client, quick ? 50 : 200);
    const result = {
      p50: median(all),
      perFloor: pairedRatio(p50s, floors),
      suspended: { p50: median(suspended) },
      rounds: { p50: p50s, floorP50: floors },
    };
    bench.say(
      `signal: p50 ${result.p50.toFixed(2)} ms, ${result.perFloor.toFixed(2)} x the floor; suspended ${result.suspended.p50.toFixed(2)} ms`,
    );
    return { floor: { latency: { p50: median(floors) } }, signal: result };
  } finally {
    await suspending.close();
    await database.drop();
  }
}

/** One signal after another to one run, which ends with the last. */
async function pokes(handle: WorkflowHandle, times: number, between: () => Promise<unknown> = async () => undefined): Promise<number[]> {
  const samples: number[] = [];
  for (let n = 1; n <= times; n++) {
    await between();
    const heard = new Promise<void>((resolve) => listeners.set(handle.runId, () => resolve()));
    const began = performance.now();
    await handle.signal(poke, { n: n === times ? -1 : n });
    await heard;
    samples.push(performance.now() - began);
  }
  listeners.delete(handle.runId);
  await handle.result();
  return samples;
}

async function suspendedPokes(client: WorkflowClient, times: number): Promise<number[]> {
  const handle = await client.start(Listener);
  return pokes(handle, times, async () => {
    while ((await handle.status()) !== 'waiting') await sleep(2);
  });
}
