import { randomInt } from 'node:crypto';
import { parseArgs } from 'node:util';

/** Amount and kinds of chaos. */
export interface ChaosSettings {
  /** The transport that drives the workers. Each has faults of its own. */
  readonly transport: 'poll' | 'qstash';
  /** Seed of the plan: the same seed plans the same runs, and the same faults at the same times. */
  readonly seed: number;
  readonly runs: number;
  readonly workers: number;
  /** For how long runs are started, and among workers faults happen. */
  readonly seconds: number;
}

const FULL = {
  poll: { runs: 2_000, workers: 10, seconds: 80 },
  qstash: { runs: 400, workers: 3, seconds: 30 },
};

/** @throws Error saying what cannot be understood */
export function readArguments(args: readonly string[]): ChaosSettings {
  const { values } = parseArgs({
    args: [...args],
    options: {
      transport: { type: 'string' },
      seed: { type: 'string' },
      runs: { type: 'string' },
      workers: { type: 'string' },
      seconds: { type: 'string' },
    },
  });
  const { transport = 'poll' } = values;
  if (transport !== 'poll' && transport !== 'qstash') throw new Error(`--transport ${transport}: must be poll or qstash`);
  const full = FULL[transport];
  const number = (name: keyof typeof values, standard: number, least: number): number => {
    const text = values[name];
    const value = text === undefined ? standard : Number(text);
    if (!Number.isInteger(value) || value < least) throw new Error(`--${name} ${text}: must be a whole number from ${least} on`);
    return value;
  };
  return {
    transport,
    seed: number('seed', randomInt(1, 1_000_000), 0),
    runs: number('runs', full.runs, 1),
    workers: number('workers', full.workers, 2),
    seconds: number('seconds', full.seconds, 1),
  };
}
