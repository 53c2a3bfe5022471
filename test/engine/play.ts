import { expect } from '@jest/globals';
import fc from 'fast-check';

import { TestRun, type Ending, type RunOptions } from './harness.js';
import { span, UNIT, World } from './interpreter.js';
import { programs, some, type Node, type ProgramSpace, type Sending } from './programs.js';
import { jump, rewind, settle } from './virtual-time.js';

/**
 * Number of programs, set with DURABLE_PROPERTY_RUNS. Without it a test runs for one or two
 * seconds, or up to this number.
 */
const RUNS = Number(process.env.DURABLE_PROPERTY_RUNS ?? 0);
const BUDGET_MS = RUNS > 0 ? 0 : 1_500;
export const LONG = 24 * 3_600_000;

export interface Executed {
  readonly run: TestRun;
  readonly world: World;
  /** Signals that were sent to the run, by the number that each carries. */
  readonly sent: readonly Sending[];
  /** Comparable part of the end, without stacks. */
  readonly summary: unknown;
  readonly ending: Ending;
}

export interface Plan extends RunOptions {
  /** Makes I/O take another time in every pass. */
  ioSeed?: number;
  cancelAt?: number;
  /**
   * Signals that are sent to the run. More follow after the last one, so that no wait is endless.
   */
  sendings?: readonly Sending[];
  /** Gives steps a compensation. */
  charges?: boolean;
}

export async function play(program: Node, { ioSeed = 0, cancelAt, sendings, charges, ...options }: Plan = {}): Promise<Executed> {
  rewind();
  let draws = ioSeed;
  const world = new World((id, takes) => (ioSeed === 0 ? takes : (takes + id + draws++ * 7) % 10), charges);
  const run = new TestRun(world.workflow(program), {
    settings: { replayStallMs: 2 ** 40, cancelGraceMs: 2 ** 40 },
    stepTimeoutMs: 2 ** 31 - 1,
    ...options,
  });
  if (cancelAt !== undefined) setTimeout(() => run.stored.outcome ?? run.cancel('enough'), cancelAt);
  const sent: Sending[] = [];
  if (sendings) sendAll(run, sendings, sent);
  const ending = await run.end();
  // Bodies of closed passes, and of steps that lost a race, must not disturb the next run.
  while (jump()) await settle();
  run.check();
  return { run, world, ending, sent, summary: summaryOf(run, ending) };
}

/** Sends each signal with its number, at a moment without other events. */
function sendAll(run: TestRun, sendings: readonly Sending[], sent: Sending[]): void {
  const isOver = (): boolean => run.ending !== undefined;
  const send = (sending: Sending): void => {
    if (isOver()) return;
    sent.push(sending);
    run.send(`signal:${sending.name}`, String(sent.length));
  };
  sendings.forEach((sending, index) => setTimeout(() => send(sending), span(sending.at, `send ${index}`)));
  const more = (at: number): void => {
    if (isOver()) return;
    send({ name: at % 2 === 0 ? 'x' : 'y', at });
    setTimeout(() => more(at + 1), UNIT * 3 + at);
  };
  setTimeout(() => more(50), 50 * UNIT);
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

/** Checks what must hold for every run, whatever its program. */
export function sane({ run, world, ending }: Executed): void {
  if (ending.status !== 'completed') expect(EXPECTED).toContain(ending.error.name);
  expect(world.swapped).toEqual([]);
  expect(new Set(run.keys).size).toBe(run.keys.length);
}

/**
 * Checks that a replay of the records has the same end, and executes no body of a recorded step.
 */
export async function replays(program: Node, first: Executed, ioSeed: number, plan: Plan = {}): Promise<void> {
  const { history } = first.run.stored;
  const again = await play(program, { ...plan, history, ioSeed });
  if (isLoose(program)) {
    // With ordinary I/O the code may get further, but never to another result.
    if (again.ending.status !== 'blocked') expect(again.run.stored.history.steps.slice(0, history.steps.length)).toEqual(history.steps);
    return;
  }
  expect(again.summary).toEqual(first.summary);
  expect(again.run.effects.filter((key) => first.run.stored.has(key))).toEqual([]);
}

/**
 * Tells if a program has ordinary I/O beside parallel branches. A replay may then see other
 * timings.
 */
export function isLoose(program: Node): boolean {
  return some(program, ({ kind }) => kind === 'io') && some(program, ({ kind }) => kind === 'together');
}

export function crashingAt(...points: number[]): (count: number) => boolean {
  return (count) => points.includes(count);
}

/**
 * Checks programs until the time has passed, or the requested number is reached. Each batch has its
 * own seed, which fast-check prints.
 */
export async function check(space: ProgramSpace, property: (program: Node, numbers: number[]) => Promise<void>): Promise<number> {
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
