import { startApplication } from '../application.js';
import type { Bench } from '../bench.js';
import { measureUsage } from '../meters.js';
import { produce, type Load } from '../produce.js';
import { median, pairedRatio } from '../statistics.js';
import { registerSdk } from '../telemetry-sdk.js';
import { IN_FLIGHT } from './throughput.js';

interface Round {
  readonly runsPerSecond: number;
  readonly cpuMsPerRun: number;
}

type Sdk = 'off' | 'on' | 'tenth';
/** Shares of the traces that the SDK samples. */
const SHARES = { off: 0, on: 1, tenth: 0.1 } as const;
const STARTS = { poller: false, eager: true } as const;

/**
 * Three-step runs without an SDK of OpenTelemetry, with one that samples every trace, and with one
 * that samples a tenth. The rounds take turns in one process, so that all code is warm.
 */
export async function telemetry(bench: Bench) {
  const { quick, say } = bench;
  const load: Load = { inFlight: IN_FLIGHT, ...(quick ? { runs: 8_000, maxSeconds: 6 } : { runs: 40_000, maxSeconds: 60 }) };
  const measured: Record<string, unknown> = {};
  for (const [start, eagerStart] of Object.entries(STARTS)) {
    const rounds: Record<Sdk, Round[]> = { off: [], on: [], tenth: [] };
    // The first round of each warms the process up.
    for (let round = 0; round <= (quick ? 5 : 7); round++) {
      for (const sdk of ['off', 'on', 'tenth'] as const) {
        const one = await oneRound(bench, sdk, eagerStart, load);
        if (round > 0) rounds[sdk].push(one);
      }
      const [off, on, tenth] = [rounds.off, rounds.on, rounds.tenth].map((all) => all.at(-1)?.runsPerSecond.toFixed(0) ?? 'warm');
      say(`telemetry: ${start}, off ${off}, on ${on}, a tenth ${tenth} runs/s`);
    }
    measured[start] = {
      runsPerSecond: median(speeds(rounds.on)),
      perOff: pairedRatio(speeds(rounds.on), speeds(rounds.off)),
      tenthPerOff: pairedRatio(speeds(rounds.tenth), speeds(rounds.off)),
      cpuPerOff: pairedRatio(
        rounds.on.map((round) => round.cpuMsPerRun),
        rounds.off.map((round) => round.cpuMsPerRun),
      ),
      rounds,
    };
  }
  return { telemetry: measured };
}

function speeds(rounds: readonly Round[]): number[] {
  return rounds.map((round) => round.runsPerSecond);
}

async function oneRound({ server }: Bench, sdk: Sdk, eagerStart: boolean, load: Load): Promise<Round> {
  const database = await server.createDatabase();
  const remove = sdk === 'off' ? undefined : registerSdk(SHARES[sdk]);
  try {
    await server.checkpoint();
    const application = await startApplication(database.url, { eagerStart });
    try {
      const { value, usage } = await measureUsage(server, () => produce(application.client, load));
      return { runsPerSecond: value.runsPerSecond, cpuMsPerRun: usage.cpuMs / value.completed };
    } finally {
      await application.close();
    }
  } finally {
    await remove?.();
    await database.drop();
  }
}
