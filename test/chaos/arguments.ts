import { randomInt } from 'node:crypto';
import { parseArgs } from 'node:util';

const TRANSPORTS = ['poll', 'qstash', 'both'] as const;
export type Transport = (typeof TRANSPORTS)[number];

const WORKLOADS = ['all', 'money', 'limits'] as const;
/**
 * `money`: only sagas and transactional steps. `limits`: only queues and steps with limits, and
 * starts that share runs.
 */
export type Workload = (typeof WORKLOADS)[number];

/** Faults among workers in each second, unless their number is given. */
const FAULTS_PER_SECOND = 1.2;
const faultsIn = (seconds: number): number => Math.round(seconds * FAULTS_PER_SECOND);

/** Amount and kinds of chaos. */
export interface ChaosSettings {
  /** The transport that drives the workers. Each has faults of its own. */
  readonly transport: Transport;
  /** Seed of the plan: the same seed plans the same runs, and the same faults at the same times. */
  readonly seed: number;
  readonly runs: number;
  readonly workers: number;
  /** For how long runs are started, and among workers faults happen. */
  readonly seconds: number;
  /** Number of faults among workers. With QStash, the emulator and the steps cause the faults. */
  readonly faults: number;
  readonly workload: Workload;
}

/** Adds the default values of settings that are not given. */
export function withDefaults(settings: Omit<ChaosSettings, 'faults' | 'workload'> & Partial<ChaosSettings>): ChaosSettings {
  return { faults: faultsIn(settings.seconds), workload: 'all', ...settings };
}

const FULL = {
  poll: { runs: 2_000, workers: 10, seconds: 80 },
  qstash: { runs: 400, workers: 3, seconds: 30 },
  both: { runs: 400, workers: 3, seconds: 30 },
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
      faults: { type: 'string' },
      workload: { type: 'string' },
    },
  });
  const transport = oneOf('transport', values.transport ?? 'poll', TRANSPORTS);
  const workload = oneOf('workload', values.workload ?? 'all', WORKLOADS);
  const full = FULL[transport];
  const number = (name: keyof typeof values, standard: number, least: number): number => {
    const text = values[name];
    const value = text === undefined ? standard : Number(text);
    if (!Number.isInteger(value) || value < least) throw new Error(`--${name} ${text}: must be a whole number from ${least} on`);
    return value;
  };
  const seconds = number('seconds', full.seconds, 1);
  return {
    transport,
    workload,
    seed: number('seed', randomInt(1, 1_000_000), 0),
    runs: number('runs', full.runs, 1),
    workers: number('workers', full.workers, 2),
    seconds,
    faults: number('faults', faultsIn(seconds), 0),
  };
}

function oneOf<T extends string>(name: string, value: string, allowed: readonly T[]): T {
  const found = allowed.find((each) => each === value);
  if (found === undefined) throw new Error(`--${name} ${value}: must be one of ${allowed.join(', ')}`);
  return found;
}
