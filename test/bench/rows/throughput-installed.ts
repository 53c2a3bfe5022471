import type { Bench } from '../bench.js';
import type { InstalledLoad } from '../processes/installed.js';
import { openUnbatchedFloor } from './floor-unbatched.js';
import { installedRounds } from './installed.js';

/** Three-step runs in a process with default options, for long enough to be warm. */
export async function throughputInstalled(bench: Bench, inFlight: number) {
  const { server, quick } = bench;
  const size = quick ? { runs: 10_000, maxSeconds: 5 } : { runs: 50_000, maxSeconds: 60 };
  const load: InstalledLoad = { form: 'sustained', workflow: 'three-steps', inFlight, ...size };
  const floor = await openUnbatchedFloor(server);
  try {
    return await installedRounds(bench, floor, 'throughput, default options', load, quick ? 2 : 5);
  } finally {
    await floor.close();
  }
}
