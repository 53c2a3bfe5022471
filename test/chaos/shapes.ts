import { defineSignal } from 'nestjs-durable';

/** The signal of the driver: the numbers from 0, in order, each once. */
export const poke = defineSignal<number>('poke');

/** Input of a run of the chaos. */
export interface ShapeInput {
  /** Number of links, branches or failures. */
  readonly size: number;
  /** Milliseconds that a body takes. */
  readonly ms: number;
  /** Milliseconds of each sleep, when the run sleeps. */
  readonly napMs: number;
}

/** Required outcome of a run. */
export interface Expectation {
  readonly status: 'completed' | 'failed' | 'cancelled';
  /** The steps with bodies, in the order in which a completed run returns what they recorded. */
  readonly steps: readonly string[];
  /** Steps without bodies. */
  readonly waits: readonly string[];
  /** Steps without bodies that are recorded or not, as races go. */
  readonly perhaps?: readonly string[];
  /** A cancelled run has recorded some of its steps; others have recorded all. */
  readonly isPartial: boolean;
}

const numbered = (name: string, count: number): string[] => Array.from({ length: count }, (_, n) => (n === 0 ? name : `${name}#${n + 1}`));

/** The id of a run's child. */
export const childOf = (parentId: string, n: number): string => `${parentId}/${n}`;

const completed = (steps: readonly string[], waits: readonly string[] = []): Expectation => ({
  status: 'completed',
  steps,
  waits,
  isPartial: false,
});

/** True for a booking or a transfer that fails at its end, and is then undone. */
export const isDoomed = (size: number): boolean => size % 2 === 1;

/**
 * Returns what a booking does. The first charge stays, and a saga undoes the second one. Then
 * several charges are made in parallel. In a doomed booking, a step beside them fails: charges that
 * had not begun record a failure, and are not refunded.
 */
function bookingOf(size: number): Expectation {
  const parallel = Array.from({ length: size }, (_, n) => `charge:${n}`);
  const inSaga = ['charge#2', 'full', '$compensate:charge#2'];
  if (!isDoomed(size)) {
    return { status: 'completed', steps: ['charge', ...parallel], waits: [...inSaga, 'saga', 'sleep'], isPartial: false };
  }
  return {
    status: 'failed',
    steps: ['charge', ...inSaga, ...parallel, 'doomed', '$compensate:charge'],
    waits: ['saga', 'sleep', '$compensating', '$compensated'],
    perhaps: parallel.map((key) => `$compensate:${key}`),
    isPartial: false,
  };
}

/** Number of payments that a transfer makes in parallel. */
export const SHARES = 2;

/**
 * Returns what a transfer does. It moves money in two transactional steps, and then in parallel
 * ones. A doomed transfer undoes the payments that had begun, even those that failed.
 */
function transferOf(size: number): Expectation {
  const shares = Array.from({ length: SHARES }, (_, n) => `share:${n}`);
  if (!isDoomed(size)) return completed(['move', 'exchange', ...shares], ['sleep']);
  return {
    status: 'failed',
    steps: ['move', 'exchange', ...shares, 'doomed', '$compensate:exchange', '$compensate:move'],
    waits: ['sleep', '$compensating', '$compensated'],
    perhaps: shares.map((key) => `$compensate:${key}`),
    isPartial: false,
  };
}

/** The workflows of the chaos, by name, and what becomes of their runs. */
export const EXPECTED = {
  chain: ({ size }: ShapeInput) => completed(numbered('link', size)),
  fan: ({ size }: ShapeInput) =>
    completed(['prepare', ...Array.from({ length: size }, (_, n) => [`leaf:${n}`, `twig:${n}`]).flat(), 'gather']),
  eight: () => completed(numbered('work', 8), ['sleep']),
  nap: () => completed(['before', 'between', 'after'], ['sleep', 'sleep#2']),
  flaky: () => completed(['shaky', 'calm']),
  doomed: () => ({ status: 'failed', steps: ['fine', 'doomed', 'undo'], waits: [], isPartial: false }),
  slow: () => completed(['slow', 'slow#2']),
  signalled: ({ size }: ShapeInput) => completed(numbered('signalled', size), numbered('signal:poke', size)),
  raced: () => ({ ...completed(['raced']), perhaps: ['signal:poke', 'sleep', 'signal:poke#2'] }),
  told: ({ size }: ShapeInput) => completed(numbered('tell', size), ['sleep']),
  parent: ({ size }: ShapeInput) =>
    completed(
      ['gather'],
      Array.from({ length: size }, (_, n) => `invoke:chain:${n}`),
    ),
  endless: () => ({ status: 'cancelled', steps: ['begin', 'cleanup'], waits: ['sleep', '$cancel'], isPartial: true }),
  booking: ({ size }: ShapeInput) => bookingOf(size),
  undone: () => ({
    status: 'cancelled',
    steps: ['charge', 'charge#2', 'cleanup', '$compensate:charge', '$compensate:charge#2'],
    waits: ['sleep', '$cancel', '$compensating', '$compensated'],
    isPartial: true,
  }),
  transfer: ({ size }: ShapeInput) => transferOf(size),
  recalled: () => ({
    status: 'cancelled',
    steps: ['move', 'exchange', 'cleanup', '$compensate:move', '$compensate:exchange'],
    waits: ['sleep', '$cancel', '$compensating', '$compensated'],
    isPartial: true,
  }),
  placed: () => completed(numbered('work', 2), ['sleep']),
  keyed: () => completed(numbered('work', 2)),
  rated: () => completed(['work']),
  calling: () => completed(['call', 'request']),
  stopped: () => ({ status: 'cancelled', steps: ['begin', 'cleanup'], waits: ['sleep', '$cancel'], isPartial: true }),
} satisfies Record<string, (input: ShapeInput) => Expectation>;

/** Returns the chunks in the stream of a run of `told`, when no reset has replaced any. */
export const toldBy = ({ size }: ShapeInput): string[] =>
  Array.from({ length: size }, (_, step) => [
    `step ${step}`,
    ...Array.from({ length: CHUNKS_PER_STEP }, (_, chunk) => `${step}.${chunk}`),
  ]).flat();

/** Number of chunks that each step of `told` writes. */
export const CHUNKS_PER_STEP = 30;

export type Shape = keyof typeof EXPECTED;

export const SHAPES = Object.keys(EXPECTED) as Shape[];

/** True for the shapes whose runs move money between the accounts of the bank. */
export const isOfBank = (shape: Shape): boolean => shape === 'transfer' || shape === 'recalled';

/**
 * True for a transactional step. A conflict executes its body again in the same attempt, and the
 * entries of the bank show that only one execution has an effect.
 */
export const isTransactional = (stepKey: string): boolean => /^(\$compensate:move|move|exchange|share)\b/.test(stepKey);

/** Workflows whose runs are not planned one by one, because several starts may share a run. */
export const SHARED_NAMES = ['debounced', 'throttled', 'batched'];

/** Input of a start that shares its run with others. */
export interface CallInput {
  readonly key: string;
  /** Number of the call among those with the same key. */
  readonly n: number;
}
