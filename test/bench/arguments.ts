import { parseArgs } from 'node:util';

export const ROWS = [
  'cold',
  'throughput',
  'latency',
  'long',
  'parallel',
  'timer',
  'schedules',
  'io',
  'payload',
  'memory',
  'scale',
  'backlog',
  'recovery',
  'network',
  'signal',
  'emit',
  'child',
  'inbox',
  'lockedRow',
  'stream',
  'qstash',
  'retention',
  'telemetry',
  'transactional',
  'keyed',
  'limited',
  'rate',
  'big',
  'list',
] as const;
export type RowName = (typeof ROWS)[number];

/** Rows that the quick form leaves out unless they are named. */
const LONG_ONLY: readonly RowName[] = ['retention', 'big', 'list'];

export interface BenchArguments {
  /** The file that receives the numbers as JSON. */
  readonly json: string | undefined;
  /** Fewer rounds of fewer runs: ends within four minutes. */
  readonly quick: boolean;
  readonly only: readonly RowName[];
}

/** @throws Error saying what cannot be understood */
export function readArguments(args: readonly string[]): BenchArguments {
  const { values } = parseArgs({
    args: [...args],
    options: { json: { type: 'string' }, quick: { type: 'boolean', default: false }, only: { type: 'string' } },
  });
  const only = values.only?.split(',').map((name) => {
    const row = ROWS.find((known) => known === name.trim());
    if (!row) throw new Error(`--only ${name}: the rows are ${ROWS.join(', ')}`);
    return row;
  });
  return { json: values.json, quick: values.quick, only: only ?? ROWS.filter((row) => !values.quick || !LONG_ONLY.includes(row)) };
}
