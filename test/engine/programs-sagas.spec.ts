import { describe, expect, it } from '@jest/globals';

import type { Scope } from './interpreter.js';
import { check, crashingAt, LONG, play, replays, type Executed, type Plan } from './play.js';
import type { Node, ProgramSpace } from './programs.js';
import { useVirtualTime } from './virtual-time.js';

useVirtualTime();

const SPACE: ProgramSpace = { io: false, together: true, sagas: true };

/** Tells if the calls of a scope must be undone in a run that has completed. */
function mustBeUndone(scope: Scope | undefined): boolean {
  return scope !== undefined && (scope.hasFailed || mustBeUndone(scope.outer));
}

/** Checks that exactly the calls of failed scopes are undone, each once; in a failed run, all. */
function keepsMoney({ run, world, ending }: Executed): void {
  const { steps } = run.stored.history;
  expect(ending.status).not.toBe('blocked');
  const undone = steps.filter(({ kind }) => kind === 'compensation').map(({ stepKey }) => stepKey.replace('$compensate:', ''));
  const charged = steps.filter(({ kind, status }) => kind === 'step' && status === 'completed').map(({ stepKey }) => stepKey);
  const due = ending.status === 'completed' ? charged.filter((key) => mustBeUndone(world.scopes.get(key))) : charged;
  expect(undone.toSorted()).toEqual(due.toSorted());
  expect(world.refunded.toSorted()).toEqual(undone.map((key) => `run-1:${key}`).toSorted());
  // A body of a step without a result may have charged only in a run that has completed.
  if (ending.status !== 'completed') expect([...world.charged].toSorted()).toEqual(world.refunded.toSorted());
  const begins = steps.findIndex(({ kind }) => kind === 'compensating');
  if (begins < 0 || run.options.compensation === 'parallel') return;
  const order = steps.slice(begins).filter(({ kind }) => kind === 'compensation');
  const seqs = order.map(({ stepKey }) => steps.find((step) => `$compensate:${step.stepKey}` === stepKey)!.seq);
  // A compensation that a saga had begun ends first.
  const whole = seqs.filter((_, index) => order[index]!.calledAfter >= begins);
  expect(whole).toEqual(whole.toSorted((a, b) => b - a));
}

async function conserves(program: Node, plan: Plan): Promise<Executed> {
  const played = await play(program, { ...plan, charges: true });
  keepsMoney(played);
  return played;
}

describe('any program with sagas', () => {
  it.each(['serial', 'parallel'] as const)(
    'undoes exactly the steps of its failed scopes wherever the process crashes, with %s compensations',
    async (compensation) => {
      const played = await check(SPACE, async (program, [first, second, third]) => {
        const calm = await conserves(program, { compensation });
        await replays(program, calm, 0, { compensation, charges: true });
        const same = async (plan: Plan): Promise<void> => {
          expect((await conserves(program, { ...plan, compensation })).ending.status).toBe(calm.ending.status);
        };
        const total = calm.run.journal.flushes.flat().length;
        for (let point = 1; point < total; point++) await same({ crashes: crashingAt(point) });
        await same({ crashes: crashingAt(first!, second!, third!) });
        await same({ suspends: true });
        await same({ suspends: true, crashes: crashingAt(first!, second!) });
      });
      expect(played).toBeGreaterThan(0);
    },
    LONG,
  );

  it(
    'undoes all of its steps when the run is cancelled, wherever the process crashes',
    async () => {
      await check(SPACE, async (program, [at, first, second, third]) => {
        const cancelAt = at! * 1_000_000 + 1;
        const calm = await conserves(program, { cancelAt });
        const total = calm.run.journal.flushes.flat().length;
        for (let point = 1; point < total; point++) await conserves(program, { cancelAt, crashes: crashingAt(point) });
        await conserves(program, { cancelAt, crashes: crashingAt(first!, second!, third!) });
        await conserves(program, { cancelAt, suspends: true });
      });
    },
    LONG,
  );

  it(
    'undoes exactly the steps of its failed scopes when flushes are slow',
    async () => {
      await check(SPACE, async (program, [slow, first, second, at]) => {
        const latency = (): number => slow! * 500_000;
        await conserves(program, { latency });
        await conserves(program, { latency, crashes: crashingAt(first!, second!) });
        await conserves(program, { latency, cancelAt: at! * 1_000_000 + 1, crashes: crashingAt(first!) });
      });
    },
    LONG,
  );
});
