import { SeededNumbers } from '../support/faults/seeded-numbers.js';
import type { ChaosSettings, Workload } from './arguments.js';
import { childOf, EXPECTED, type Shape, type ShapeInput } from './shapes.js';

/** Ways to start a run. */
export type StartKind = 'client' | 'worker' | 'twice' | 'commit' | 'rollback';

export interface PlannedRun {
  readonly id: string;
  readonly shape: Shape;
  readonly input: ShapeInput;
  readonly start: StartKind;
  /** The worker that starts it, where one does. */
  readonly worker: number;
  /** Milliseconds for which the starting transaction stays open, when there is one. */
  readonly holdMs: number;
  readonly delayMs: number;
  readonly atMs: number;
  readonly cancelAtMs: number | undefined;
  /** Times at which the run is sent signals, in order. */
  readonly signalsAtMs: readonly number[];
  /** True when the run is the child of a planned run and started by its parent. */
  readonly isChild: boolean;
  /** True when somebody waits for the run's result. */
  readonly isAwaited: boolean;
}

const FAULT_KINDS = {
  kill: 22,
  freeze: 14,
  blink: 8,
  term: 12,
  terminate: 12,
  lock: 12,
  snapshot: 4,
  cut: 5,
  refuse: 5,
  silence: 3,
  'cut after commit': 6,
};

export type FaultKind = keyof typeof FAULT_KINDS;

export interface PlannedFault {
  readonly kind: FaultKind;
  readonly atMs: number;
  readonly worker: number;
  readonly durationMs: number;
  /** Number of backends or rows. */
  readonly count: number;
}

export interface Plan {
  readonly runs: readonly PlannedRun[];
  readonly faults: readonly PlannedFault[];
}

const START_KINDS: Record<StartKind, number> = { client: 35, worker: 30, twice: 15, commit: 13, rollback: 7 };
/** The shapes that chaos among workers has. */
const SHAPE_WEIGHTS = {
  chain: 26,
  fan: 20,
  nap: 16,
  flaky: 12,
  doomed: 6,
  slow: 10,
  signalled: 10,
  raced: 10,
  told: 14,
  parent: 6,
  endless: 10,
  booking: 14,
  undone: 6,
  transfer: 20,
  recalled: 6,
} satisfies Partial<Record<Shape, number>>;
/** The shapes with sagas and transactional steps. */
const MONEY_WEIGHTS = { booking: 14, undone: 6, transfer: 20, recalled: 6 } satisfies Partial<Record<Shape, number>>;
/** The shapes with limits. */
const LIMIT_WEIGHTS = { placed: 12, keyed: 14, rated: 10, calling: 10, stopped: 4 } satisfies Partial<Record<Shape, number>>;
/** Milliseconds until workers have booted and runs are under way. */
const FIRST_FAULT_MS = 1_000;

/** Shortest and longest duration of a fault of each kind, in milliseconds. A session lasts 2 s. */
const DURATION: Record<FaultKind, readonly [number, number]> = {
  kill: [0, 0],
  term: [0, 0],
  terminate: [0, 0],
  cut: [0, 0],
  'cut after commit': [0, 0],
  blink: [200, 1_500],
  freeze: [2_500, 6_000],
  lock: [300, 4_000],
  snapshot: [2_000, 8_000],
  refuse: [200, 5_000],
  silence: [500, 4_000],
};

/** Everything that is going to happen, from the seed alone. */
export function makePlan({ seed, runs, workers, seconds, faults: count, workload }: ChaosSettings): Plan {
  const random = new SeededNumbers(seed);
  const totalMs = seconds * 1_000;
  const planned = planRuns(random, { runs, workers, totalMs }, weightsOf(workload, SHAPE_WEIGHTS));
  const faults = Array.from({ length: count }, (): PlannedFault => {
    const kind = random.oneOf(FAULT_KINDS);
    return {
      kind,
      atMs: random.between(FIRST_FAULT_MS, totalMs),
      worker: random.below(workers),
      durationMs: random.between(...DURATION[kind]),
      count: random.between(1, 40),
    };
  });
  return { runs: planned, faults: faults.sort((a, b) => a.atMs - b.atMs) };
}

/** The shapes of a workload. */
export function weightsOf(workload: Workload, all: Partial<Record<Shape, number>>): Partial<Record<Shape, number>> {
  return { all, money: MONEY_WEIGHTS, limits: LIMIT_WEIGHTS }[workload];
}

/** Runs of these shapes, and their children, who starts them and when, and what they are sent. */
export function planRuns(
  random: SeededNumbers,
  { runs, workers, totalMs }: { readonly runs: number; readonly workers: number; readonly totalMs: number },
  weights: Readonly<Partial<Record<Shape, number>>>,
): PlannedRun[] {
  const between = (from: number, to: number): number => random.between(from, to);
  const planned = Array.from({ length: runs }, (_, n): PlannedRun => {
    const shape: Shape = random.oneOf(weights as Readonly<Record<Shape, number>>);
    const start = random.oneOf(START_KINDS);
    const atMs = random.below(Math.round(totalMs * 0.9));
    const delayMs = random.below(100) < 8 ? between(200, 4_000) : 0;
    const size = shape === 'flaky' ? between(1, 3) : between(2, 6);
    const signals = { signalled: size, raced: 1 }[shape as string] ?? 0;
    return {
      id: `${shape}-${start}-${n}`,
      shape,
      input: {
        size,
        ms: shape === 'slow' ? between(300, 2_000) : between(0, 60),
        napMs: between(800, 5_000),
      },
      start,
      worker: random.below(workers),
      holdMs: random.below(100) < 70 ? between(0, 100) : between(100, 3_000),
      delayMs,
      atMs,
      cancelAtMs: isCancelled(shape) ? atMs + between(0, 4_000) : undefined,
      signalsAtMs: Array.from({ length: signals }, () => atMs + between(0, 5_000)).sort((a, b) => a - b),
      isChild: false,
      isAwaited: start !== 'rollback' && random.below(100) < 10,
    };
  });
  const children = planned
    .filter(({ shape }) => shape === 'parent')
    .flatMap((parent) =>
      Array.from({ length: parent.input.size }, (_, n): PlannedRun => ({
        ...parent,
        id: childOf(parent.id, n),
        shape: 'chain',
        isChild: true,
      })),
    );
  return [...planned, ...children];
}

/** True for the shapes that end only when they are cancelled. */
const isCancelled = (shape: Shape): boolean => EXPECTED[shape]({ size: 0, ms: 0, napMs: 0 }).status === 'cancelled';
