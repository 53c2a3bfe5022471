import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';

import { decode } from '../../src/core/serializer/index.js';
import { check, crashingAt, LONG, play, replays, sane, type Executed, type Plan } from './play.js';
import { sendings, some, type Node, type ProgramSpace } from './programs.js';
import { useVirtualTime } from './virtual-time.js';

useVirtualTime();

const SPACE: ProgramSpace = { io: false, together: true, signals: true };

/**
 * Checks that no signal is lost or taken twice, that signals of one name are taken in order, and
 * that the code sees all taken signals.
 */
function keeps({ run, world, sent }: Executed): void {
  const taken = run.stored.history.steps
    .filter(({ kind, status, output }) => kind === 'signal' && status === 'completed' && output !== 'null')
    .map(({ output, stepKey }) => ({ name: stepKey.replace(/^signal:(.).*/, '$1'), number: Number(decode(output!)) }));
  const left = [...run.stored.inbox.values()].map(({ payload }) => Number(decode(payload)));
  expect([...taken.map(({ number }) => number), ...left].toSorted((a, b) => a - b)).toEqual(sent.map((_, index) => index + 1));
  for (const name of ['x', 'y']) {
    const numbers = taken.filter((each) => each.name === name).map(({ number }) => number);
    expect(numbers).toEqual(numbers.toSorted((a, b) => a - b));
  }
  const seen = world.traces.at(-1)!;
  for (const { name, number } of taken) {
    expect(sent[number - 1]!.name).toBe(name);
    expect(seen.filter((line) => line.startsWith(`${name} got ${number};`))).toHaveLength(1);
  }
}

/**
 * Checks that no wait is open at the end of a program that abandons none: withdrawn waits are
 * closed.
 */
function closes(program: Node, { run, ending }: Executed): void {
  const abandons = some(program, (node) => node.kind === 'together' && node.how !== 'allSettled');
  if (!abandons && ending.status !== 'cancelled') expect([...run.stored.waits.keys()]).toEqual([]);
}

describe('any program that receives signals', () => {
  it(
    'ends the same wherever the process crashes, and neither loses a signal nor takes one twice',
    async () => {
      const played = await check(SPACE, async (program, [first, second, third]) => {
        for (const sent of fc.sample(sendings(), { numRuns: 2, seed: first! + 61 * second! })) {
          const calm = await fits(program, { sendings: sent });
          await replays(program, calm, 0);
          const same = async (plan: Plan): Promise<void> => {
            const other = await fits(program, { ...plan, sendings: sent });
            expect(other.summary).toEqual(calm.summary);
            expect(other.world.traces.at(-1)).toEqual(calm.world.traces[0]);
          };
          const total = calm.run.journal.flushes.flat().length;
          for (let point = 1; point < total; point++) await same({ crashes: crashingAt(point) });
          await same({ crashes: crashingAt(first!, second!, third!) });
          // Crashes a limited number of times. Code that opens and withdraws a wait before anything
          // is recorded would otherwise repeat that for ever.
          await same({ crashes: (count) => count % 2 === 0 && count < 3 * total });
          await same({ suspends: true });
          await same({ suspends: true, crashes: crashingAt(first!, second!) });
        }
      });
      expect(played).toBeGreaterThan(0);
    },
    LONG,
  );

  it(
    'is cancelled at the same place wherever the process crashes',
    async () => {
      await check(SPACE, async (program, [at, first, second]) => {
        const [sent] = fc.sample(sendings(), { numRuns: 1, seed: first! });
        const plan = { sendings: sent!, cancelAt: at! * 1_000_000 + 1 };
        const calm = await fits(program, plan);
        await replays(program, calm, 0);
        const total = calm.run.journal.flushes.flat().length;
        for (let point = 1; point < total; point++) {
          expect((await fits(program, { ...plan, crashes: crashingAt(point) })).summary).toEqual(calm.summary);
        }
        expect((await fits(program, { ...plan, crashes: crashingAt(first!, second!) })).summary).toEqual(calm.summary);
        expect((await fits(program, { ...plan, suspends: true })).summary).toEqual(calm.summary);
      });
    },
    LONG,
  );

  it(
    'loses no signal and takes none twice when flushes are slow',
    async () => {
      await check(SPACE, async (program, [slow, first, second]) => {
        const [sent] = fc.sample(sendings(), { numRuns: 1, seed: first! });
        const latency = (): number => slow! * 500_000;
        await fits(program, { sendings: sent!, latency });
        await fits(program, { sendings: sent!, latency, crashes: crashingAt(first!, second!) });
        await fits(program, { sendings: sent!, latency, suspends: true, crashes: crashingAt(second!) });
      });
    },
    LONG,
  );
});

async function fits(program: Node, plan: Plan): Promise<Executed> {
  const played = await play(program, plan);
  sane(played);
  keeps(played);
  closes(program, played);
  return played;
}
