import { randomInt } from 'node:crypto';
import { parseArgs } from 'node:util';

/** How much chaos, and which. */
export interface ChaosSettings {
  /** The same seed plans the same runs and the same faults at the same times. */
  readonly seed: number;
  readonly runs: number;
  readonly workers: number;
  /** For how long faults happen. */
  readonly seconds: number;
}

const FULL = { runs: 2_000, workers: 10, seconds: 80 };

/** @throws Error saying what cannot be understood */
export function readArguments(args: readonly string[]): ChaosSettings {
  const { values } = parseArgs({
    args: [...args],
    options: { seed: { type: 'string' }, runs: { type: 'string' }, workers: { type: 'string' }, seconds: { type: 'string' } },
  });
  const number = (name: keyof typeof values, standard: number, least: number): number => {
    const text = values[name];
    const value = text === undefined ? standard : Number(text);
    if (!Number.isInteger(value) || value < least) throw new Error(`--${name} ${text}: must be a whole number from ${least} on`);
    return value;
  };
  return {
    seed: number('seed', randomInt(1, 1_000_000), 0),
    runs: number('runs', FULL.runs, 1),
    workers: number('workers', FULL.workers, 2),
    seconds: number('seconds', FULL.seconds, 1),
  };
}
