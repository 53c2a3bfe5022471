import { describe, expect, it } from '@jest/globals';

import type { NonDeterminismError } from '../../src/core/errors/index.js';
import { check, crashingAt, isLoose, LONG, play, replays, sane, type Executed } from './play.js';
import { transformed, type Node, type ProgramSpace } from './programs.js';
import { useVirtualTime } from './virtual-time.js';

useVirtualTime();

describe('any program', () => {
  it.each<[string, ProgramSpace]>([
    ['without I/O, in parallel branches', { io: false, together: true }],
    ['with I/O, in sequence', { io: true, together: false }],
  ])(
    '%s, ends the same wherever the process crashes',
    async (_, space) => {
      const played = await check(space, async (program, [first, second, third, ioSeed]) => {
        const calm = await play(program);
        sane(calm);
        await replays(program, calm, ioSeed! + 1);
        const strict = !space.io;
        const same = (other: Executed): void => {
          sane(other);
          // Longer I/O only delays what follows it.
          if (strict) expect(other.summary).toEqual(calm.summary);
          else expect(withoutTimes(other.summary)).toEqual(withoutTimes(calm.summary));
          const wanted = calm.world.traces[0]!;
          if (strict) expect(other.world.traces.at(-1)).toEqual(wanted);
        };
        const total = calm.run.journal.flushes.flat().length;
        for (let point = 1; point < total; point++) same(await play(program, { crashes: crashingAt(point), ioSeed: ioSeed! + point }));
        same(await play(program, { crashes: crashingAt(first!, second!, third!), ioSeed: third! }));
        same(await play(program, { crashes: (count) => count % 2 === 0 }));
        same(await play(program, { suspends: true }));
        same(await play(program, { suspends: true, crashes: crashingAt(first!, second!) }));
      });
      expect(played).toBeGreaterThan(0);
    },
    LONG,
  );

  it(
    'is cancelled at the same place wherever the process crashes',
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
    'with I/O in parallel branches ends and can be replayed, or names the step that does not match its history',
    async () => {
      await check({ io: true, together: true }, async (program, [first, second, third, ioSeed]) => {
        for (const plan of [
          {},
          { crashes: crashingAt(first!) },
          { crashes: crashingAt(first!, second!, third!) },
          { crashes: (count: number) => count % 3 === 0 },
        ]) {
          const played = await play(program, { ...plan, ioSeed: ioSeed! + 1 });
          // Two calls of one name after I/O cannot be distinguished.
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
    'with I/O in parallel branches ends the same wherever the process crashes, if steps have keys and time decides nothing',
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
    'begins no body before what was seen is durable when flushes are slow',
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

/** Returns the end of the run and its records, in any order. */
function endOf(summary: unknown): unknown {
  const { results, ...rest } = withoutTimes(summary) as { results: string[] };
  return { ...rest, results: results.toSorted() };
}

function withoutTimes(summary: unknown): unknown {
  const { results, ...rest } = summary as { results: string[] };
  return { ...rest, results: results.map((line) => line.replace(/ \d+$/, '')) };
}

/** Gives every step of the program a key, so that no two calls can be confused. */
function keyed(program: Node): Node {
  return transformed(program, (node) => (node.kind === 'step' ? { ...node, keyed: true } : node));
}

/**
 * Removes from the program what time decides: races, the first of several failures, and sleeps and
 * random numbers, which have no keys.
 */
function timeless(program: Node): Node {
  return transformed(keyed(program), (node) => {
    if (node.kind === 'sleep') return { ...node, kind: 'io' };
    if (node.kind === 'observe') return { kind: 'seq', nodes: [] };
    return node.kind === 'together' ? { ...node, how: 'allSettled' } : node;
  });
}
