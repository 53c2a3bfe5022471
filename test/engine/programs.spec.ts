import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';

import type { NonDeterminismError } from '../../src/core/errors/index.js';
import { TestRun, type Ending, type RunOptions } from './harness.js';
import { World } from './interpreter.js';
import { programs, some, transformed, type Node, type ProgramSpace } from './programs.js';
import { jump, rewind, settle, useVirtualTime } from './virtual-time.js';

useVirtualTime();

/** How many programs; more with DURABLE_PROPERTY_RUNS. Without it a few seconds each, whichever comes first. */
const RUNS = Number(process.env.DURABLE_PROPERTY_RUNS ?? 0);
const BUDGET_MS = RUNS > 0 ? 0 : 3_000;
const LONG = 24 * 3_600_000;

interface Executed {
  readonly run: TestRun;
  readonly world: World;
  /** What can be compared: no stacks. */
  readonly summary: unknown;
  readonly ending: Ending;
}

interface Plan extends RunOptions {
  /** So that I/O takes another time in every pass. */
  ioSeed?: number;
  cancelAt?: number;
}

async function play(program: Node, { ioSeed = 0, cancelAt, ...options }: Plan = {}): Promise<Executed> {
  rewind();
  let draws = ioSeed;
  const world = new World((id, takes) => (ioSeed === 0 ? takes : (takes + id + draws++ * 7) % 10));
  const run = new TestRun(world.workflow(program), {
    settings: { replayStallMs: 2 ** 40, cancelGraceMs: 2 ** 40 },
    stepTimeoutMs: 2 ** 31 - 1,
    ...options,
  });
  if (cancelAt !== undefined) setTimeout(() => run.stored.outcome ?? run.cancel('enough'), cancelAt);
  const ending = await run.end();
  // Bodies of passes that are gone, and of steps that lost a race, must not disturb the next run.
  while (jump()) await settle();
  run.check();
  return { run, world, ending, summary: summaryOf(run, ending) };
}

function summaryOf(run: TestRun, ending: Ending): unknown {
  const error = ending.status === 'completed' ? undefined : ending.error;
  return {
    status: ending.status,
    output: ending.status === 'completed' ? ending.output : undefined,
    error: error && [error.name, error.message, (error as AggregateError).errors?.map((each: Error) => each.message)],
    results: run.stored.history.steps.map(({ stepKey, status, attempts, finishedAt }) => `${stepKey} ${status} ${attempts} ${finishedAt}`),
  };
}

const EXPECTED = ['Error', 'AggregateError', 'StepFailedError', 'WorkflowCancelledError', 'NonDeterminismError'];

/** What must hold of every run, whatever its program. */
function sane({ run, world, ending }: Executed): void {
  if (ending.status !== 'completed') expect(EXPECTED).toContain(ending.error.name);
  expect(world.swapped).toEqual([]);
  expect(new Set(run.keys).size).toBe(run.keys.length);
}

/** What is recorded gives the same end again, and no body of a recorded step is executed for it. */
async function replays(program: Node, first: Executed, ioSeed: number): Promise<void> {
  const { history } = first.run.stored;
  const again = await play(program, { history, ioSeed });
  if (isLoose(program)) {
    // With I/O beside it the code may come to more, never to anything else.
    if (again.ending.status !== 'blocked') expect(again.run.stored.history.steps.slice(0, history.steps.length)).toEqual(history.steps);
    return;
  }
  expect(again.summary).toEqual(first.summary);
  expect(again.run.effects.filter((key) => first.run.stored.has(key))).toEqual([]);
}

/** Ordinary I/O beside parallel branches: what a replay then sees may differ. */
function isLoose(program: Node): boolean {
  return some(program, ({ kind }) => kind === 'io') && some(program, ({ kind }) => kind === 'together');
}

function crashingAt(...points: number[]): (count: number) => boolean {
  return (count) => points.includes(count);
}

/** Checks programs until the time is up, or as many as were asked for. Each batch has its own seed, which fast-check prints. */
async function check(space: ProgramSpace, property: (program: Node, numbers: number[]) => Promise<void>): Promise<number> {
  const until = performance.now() + BUDGET_MS;
  let played = 0;
  const numbers = fc.array(fc.nat({ max: 60 }), { minLength: 4, maxLength: 4 });
  const checked = fc.asyncProperty(programs(space), numbers, async (program, drawn) => {
    played++;
    await property(program, drawn);
  });
  do await fc.assert(checked, { numRuns: RUNS || 10 });
  while (performance.now() < until);
  return played;
}

describe('any program', () => {
  it.each<[string, ProgramSpace]>([
    ['without I/O, in parallel branches', { io: false, together: true }],
    ['with I/O, in sequence', { io: true, together: false }],
  ])(
    '%s, ends alike wherever it crashes',
    async (_, space) => {
      const played = await check(space, async (program, [first, second, third, ioSeed]) => {
        const calm = await play(program);
        sane(calm);
        await replays(program, calm, ioSeed! + 1);
        const strict = !space.io;
        const same = (other: Executed): void => {
          sane(other);
          // I/O that takes longer moves what comes after it, and nothing else.
          if (strict) expect(other.summary).toEqual(calm.summary);
          else expect(withoutTimes(other.summary)).toEqual(withoutTimes(calm.summary));
          const wanted = calm.world.traces[0]!;
          if (strict) expect(other.world.traces.at(-1)).toEqual(wanted);
        };
        const total = calm.run.journal.flushes.flat().length;
        for (let point = 1; point < total; point++) same(await play(program, { crashes: crashingAt(point), ioSeed: ioSeed! + point }));
        same(await play(program, { crashes: crashingAt(first!, second!, third!), ioSeed: third! }));
        same(await play(program, { crashes: (count) => count % 2 === 0 }));
        same(await play(program, { parks: true }));
        same(await play(program, { parks: true, crashes: crashingAt(first!, second!) }));
      });
      expect(played).toBeGreaterThan(0);
    },
    LONG,
  );

  it(
    'that is cancelled is cancelled in the same place wherever it crashes',
    async () => {
      await check({ io: false, together: true }, async (program, [at, first, second]) => {
        const cancelAt = at! * 1_000_000 + 1;
        const calm = await play(program, { cancelAt });
        sane(calm);
        await replays(program, calm, 0);
        const total = calm.run.journal.flushes.flat().length;
        for (const point of Array.from({ length: total - 1 }, (_, index) => index + 1)) {
          expect((await play(program, { cancelAt, crashes: crashingAt(point) })).summary).toEqual(calm.summary);
        }
        expect((await play(program, { cancelAt, crashes: crashingAt(first!, second!) })).summary).toEqual(calm.summary);
      });
    },
    LONG,
  );

  it(
    'with I/O in parallel branches ends and can be replayed, or says where it does not fit its history',
    async () => {
      await check({ io: true, together: true }, async (program, [first, second, third, ioSeed]) => {
        for (const plan of [
          {},
          { crashes: crashingAt(first!) },
          { crashes: crashingAt(first!, second!, third!) },
          { crashes: (count: number) => count % 3 === 0 },
        ]) {
          const played = await play(program, { ...plan, ioSeed: ioSeed! + 1 });
          // Two calls of one name that come out of I/O cannot be told apart.
          if (!isLoose(program)) sane(played);
          if (played.ending.status === 'blocked') {
            expect(isLoose(program)).toBe(true);
            expect((played.ending.error as NonDeterminismError).stepKey).not.toBe('');
          } else await replays(program, played, ioSeed! + 2);
        }
      });
    },
    LONG,
  );

  it(
    'with I/O in parallel branches ends alike wherever it crashes where steps have keys and time decides nothing',
    async () => {
      await check({ io: true, together: true }, async (drawn, [first, second, third, ioSeed]) => {
        const program = timeless(drawn);
        const calm = await play(program);
        for (const points of [[first!], [first!, second!, third!], [2, 4, 6, 8, 10]]) {
          const played = await play(program, { crashes: crashingAt(...points), ioSeed: ioSeed! + 1 });
          sane(played);
          expect(endOf(played.summary)).toEqual(endOf(calm.summary));
          const again = await play(program, { history: played.run.stored.history, ioSeed: ioSeed! + 2 });
          expect(endOf(again.summary)).toEqual(endOf(calm.summary));
        }
      });
    },
    LONG,
  );

  it(
    'whose flushes are slow begins no body before what was seen is durable',
    async () => {
      await check({ io: true, together: true }, async (program, [first, second, third]) => {
        const latency = (): number => first! * 500_000;
        sane(await play(keyed(program), { latency }));
        const crashed = await play(keyed(program), { latency, crashes: crashingAt(second!, third!) });
        if (crashed.ending.status === 'blocked') expect(isLoose(program)).toBe(true);
      });
    },
    LONG,
  );
});

/** How the run ended, and what was recorded in whatever order. */
function endOf(summary: unknown): unknown {
  const { results, ...rest } = withoutTimes(summary) as { results: string[] };
  return { ...rest, results: results.toSorted() };
}

function withoutTimes(summary: unknown): unknown {
  const { results, ...rest } = summary as { results: string[] };
  return { ...rest, results: results.map((line) => line.replace(/ \d+$/, '')) };
}

/** The program with a key for every step, so that no two calls can be mistaken for each other. */
function keyed(program: Node): Node {
  return transformed(program, (node) => (node.kind === 'step' ? { ...node, keyed: true } : node));
}

/** The program with nothing in it that time decides: no races, no first of several failures, and neither sleeps nor random numbers, which have no keys. */
function timeless(program: Node): Node {
  return transformed(keyed(program), (node) => {
    if (node.kind === 'sleep') return { ...node, kind: 'io' };
    if (node.kind === 'observe') return { kind: 'seq', nodes: [] };
    return node.kind === 'together' ? { ...node, how: 'allSettled' } : node;
  });
}
