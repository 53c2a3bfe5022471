import type { Bench } from '../bench.js';
import { IN_PRODUCTION, startChild } from '../processes/child.js';
import type { ActiveMemory, StartedMemory, SuspendedMemory } from '../processes/memory.js';

const STARTED = 100_000;
const BYTES_PER_MB = 1_000_000;

/**
 * Bytes of heap per active and per suspended run, what an idle process spends beside suspended
 * runs, and the heap that a `startMany` of 100,000 runs takes. Sizes are those after a garbage
 * collection, so the processes may work side by side.
 */
export async function memory(bench: Bench) {
  const { quick, say } = bench;
  const runs = quick ? { active: 2_000, suspended: 10_000, started: 20_000 } : { active: 5_000, suspended: 100_000, started: STARTED };
  const [active, suspended, started] = await Promise.all([
    inProcess<ActiveMemory>(bench, 'active', runs.active),
    inProcess<SuspendedMemory>(bench, 'suspended', runs.suspended),
    inProcess<StartedMemory>(bench, 'started', runs.started),
  ]);
  const result = {
    bytesPerActiveRun: active.bytesPerRun,
    bytesPerSuspendedRun: suspended.bytesPerRun,
    idleWithFewSuspended: suspended.idleWithFew,
    idleWithAllSuspended: suspended.idleWithAll,
    // The quick form starts fewer runs, and heap grows with their number.
    startManyMb: (started.peakBytes / runs.started) * (STARTED / BYTES_PER_MB),
    runs,
  };
  say(
    `memory: ${result.bytesPerActiveRun.toFixed(0)} bytes per active run, ${result.bytesPerSuspendedRun.toFixed(1)} per suspended run; startMany of 100,000 takes ${result.startManyMb.toFixed(0)} MB`,
  );
  return { memory: result };
}

async function inProcess<T>({ server }: Bench, what: 'active' | 'suspended' | 'started', runs: number): Promise<T> {
  const database = await server.createDatabase();
  const child = startChild('memory', [what, database.url, String(runs)], { ...IN_PRODUCTION, node: ['--expose-gc'] });
  try {
    return await child.message<T>();
  } finally {
    await child.kill();
    await database.drop();
  }
}
