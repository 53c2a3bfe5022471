import { median, medianOrNull, pairedRatio } from '../statistics.js';
import type { Measurement } from './measurement.js';
import type { PeerSystem, Variant } from './systems.js';

/** All rounds of one system, set up in one way. */
export interface VariantRounds {
  readonly variant: Variant;
  readonly rounds: Measurement[];
  /** Errors of rounds that gave no figures. */
  readonly failures: string[];
}

/** Everything known about one system after the last round. */
export interface SystemRounds {
  readonly system: PeerSystem;
  readonly versions: Readonly<Record<string, string>>;
  /** The reason for which nothing was measured. */
  readonly skipped: string | undefined;
  readonly variants: readonly VariantRounds[];
}

/** Medians of the rounds. Ratios are medians of pairs that were measured next to each other. */
export function summarize(rounds: readonly Measurement[]) {
  const each = (key: keyof Measurement): (number | null)[] => rounds.map((round) => round[key]);
  const idle = (key: 'resultP50' | 'bodyP50') => {
    const known = rounds.filter((round) => round[key] !== null);
    const floors = known.map((round) => round.fourInsertsP50);
    const values = known.map((round) => round[key]!);
    return known.length === 0 ? null : { ms: median(values), perFourInserts: pairedRatio(values, floors) };
  };
  const unbatched = rounds.map((round) => round.unbatchedPerSecond);
  const speeds = rounds.map((round) => round.runsPerSecond);
  return {
    runsPerSecond: median(speeds),
    perUnbatched: pairedRatio(speeds, unbatched),
    unbatchedPerSecond: median(unbatched),
    cpuMsPerRun: medianOrNull(each('cpuMsPerRun')),
    serverCpuMsPerRun: medianOrNull(each('serverCpuMsPerRun')),
    result: idle('resultP50'),
    body: idle('bodyP50'),
    fewestCompleted: Math.min(...rounds.map((round) => round.completed)),
  };
}

const HEADER = ['system', 'settings', 'durable steps', 'runs/s', 'x unbatched', 'CPU ms per run, process / server'];
const IDLE = ['idle p50 ms to the result (x four INSERTs)', 'to the end of the body'];

/** The figures as a table, and what a reader needs beside it, in Markdown. */
export function markdown(systems: readonly SystemRounds[], runs: number): string {
  const measured = systems.flatMap(({ system, variants }) =>
    variants.filter(({ rounds }) => rounds.length > 0).map((variant) => row(system, variant, runs)),
  );
  const columns = [...HEADER, ...IDLE];
  return [
    line(columns),
    line(columns.map(() => '---')),
    ...measured.map((cells) => line(cells)),
    '',
    ...systems.flatMap((each) => notes(each)),
  ].join('\n');
}

function row(system: PeerSystem, { variant, rounds }: VariantRounds, runs: number): string[] {
  const { runsPerSecond, perUnbatched, cpuMsPerRun, serverCpuMsPerRun, result, body, fewestCompleted } = summarize(rounds);
  const cut = fewestCompleted < runs ? ` (cut after ${figure(fewestCompleted)} runs)` : '';
  return [
    system.name,
    variant.name,
    system.hasDurableSteps ? 'yes' : 'no',
    `${figure(runsPerSecond)}${cut}`,
    figure(perUnbatched),
    `${figure(cpuMsPerRun)} / ${figure(serverCpuMsPerRun)}`,
    result ? `${figure(result.ms)} (${figure(result.perFourInserts)})` : '-',
    figure(body?.ms ?? null),
  ];
}

function notes({ system, versions, skipped, variants }: SystemRounds): string[] {
  const installed = Object.entries(versions).map(([name, version]) => `${name} ${version}`);
  const settings = variants.map(({ variant }) => `${variant.name} \`${JSON.stringify(variant.settings)}\``);
  const failed = variants.flatMap(({ variant, failures }) =>
    failures.slice(0, 1).map((failure) => `  - Failed, ${variant.name} (${failures.length} rounds): ${failure.split('\n')[0]}`),
  );
  if (skipped !== undefined) return [`- **${system.name}** was skipped: ${skipped}.`];
  return [`- **${system.name}**: ${system.lacks}`, `  - Versions: ${installed.join(', ')}. Settings: ${settings.join('; ')}.`, ...failed];
}

function line(cells: readonly string[]): string {
  return `| ${cells.join(' | ')} |`;
}

function figure(value: number | null): string {
  if (value === null) return '-';
  return value.toLocaleString('en', { maximumSignificantDigits: value >= 1_000 ? 4 : 2 });
}
