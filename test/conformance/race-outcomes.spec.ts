import { setTimeout as sleep } from 'node:timers/promises';

import { describe, expect, it } from '@jest/globals';

import type { WorkflowHandle } from '../../src/index.js';
import { SeededNumbers } from '../support/faults/seeded-numbers.js';
import { seconds, waitFor } from '../support/wait.js';
import { useStage } from './harness.js';
import { Busy, Collects, Doorbell, Guardian, Mother, number } from './workflows.js';

const REPETITIONS = process.env['DURABLE_CHAOS'] ? 3_000 : 100;
/** Number of concurrent races. */
const LANES = 20;
const SEED = Number(process.env['DURABLE_SEED'] ?? 1);
const PATIENCE = { timeout: seconds(30) };

/**
 * Plays a race many times, each time with other numbers. Returns the number of times that each
 * outcome occurred.
 */
async function repeat(play: (numbers: SeededNumbers, n: number) => Promise<string>): Promise<Record<string, number>> {
  const outcomes: Record<string, number> = {};
  let next = 0;
  const lane = async (): Promise<void> => {
    while (next < REPETITIONS) {
      const n = next++;
      const outcome = await play(new SeededNumbers(SEED * 1_000_003 + n), n);
      outcomes[outcome] = (outcomes[outcome] ?? 0) + 1;
    }
  };
  await Promise.all(Array.from({ length: LANES }, lane));
  if (process.env['DURABLE_TEST_LOG']) console.log(outcomes);
  return outcomes;
}

/** Outcome of a run: its output, or the code of its error. */
async function endOf<O>(handle: WorkflowHandle<O>): Promise<{ output: O } | { code: string }> {
  try {
    return { output: await handle.result(PATIENCE) };
  } catch (error) {
    return { code: (error as { code: string }).code };
  }
}

describe('concurrent operations on one run', () => {
  const stage = useStage({ suspendAfter: 1, concurrency: 100 });

  it('a signal concurrent with its timeout is taken once', async () => {
    const outcomes = await repeat(async (numbers, n) => {
      const timeout = 5 + numbers.below(30);
      const handle = await stage().client.start(Collects, { count: 1, timeout });
      await sleep(Math.max(0, timeout - 18 + numbers.below(20)));
      await handle.signal(number, n);
      const { output } = (await endOf(handle)) as { output: { numbers: number[]; timedOut: number } };
      expect(output.numbers).toEqual([n]);
      return output.timedOut === 0 ? 'signal' : 'timeout';
    });
    // On a busy machine one of them may never win.
    for (const outcome of Object.keys(outcomes)) expect(['signal', 'timeout']).toContain(outcome);
  });

  it('signals concurrent with a suspension are all taken in order', async () => {
    await repeat(async (numbers) => {
      const count = 1 + numbers.below(4);
      const handle = await stage().client.start(Collects, { count });
      for (let n = 0; n < count; n++) {
        await sleep(numbers.below(8));
        await handle.signal(number, n);
      }
      expect(await endOf(handle)).toEqual({ output: { numbers: Array.from({ length: count }, (_, n) => n), timedOut: 0 } });
      return 'all';
    });
  });

  it('a cancellation concurrent with the end of a run gives one of the two ends', async () => {
    const outcomes = await repeat(async (numbers) => {
      const ms = numbers.below(20);
      const handle = await stage().client.start(Busy, ms);
      await sleep(Math.max(0, ms - 15 + numbers.below(16)));
      await handle.cancel().catch((error: { code?: string }) => expect(error.code).toBe('RUN_ENDED'));
      const end = await endOf(handle);
      const isCancelled = 'code' in end;
      expect(end).toEqual(isCancelled ? { code: 'WORKFLOW_CANCELLED' } : { output: ms });
      expect(await handle.status()).toBe(isCancelled ? 'cancelled' : 'completed');
      return isCancelled ? 'cancelled' : 'completed';
    });
    for (const outcome of Object.keys(outcomes)) expect(['cancelled', 'completed']).toContain(outcome);
  });

  it('two concurrent resumes of one hook lose no accepted payload', async () => {
    const { client, database } = stage();
    await repeat(async (numbers, n) => {
      const token = `token-of-doorbell-${n}`;
      const count = 1 + numbers.below(2);
      const handle = await client.start(Doorbell, { token, count });
      await waitFor(async () => (await database.query('SELECT 1 FROM durable.workflow_hooks WHERE token = $1', [token])).length === 1);
      await sleep(numbers.below(6));
      const resumes = await Promise.allSettled([client.resumeHook(token, 1), client.resumeHook(token, 2)]);
      const accepted = [1, 2].filter((_, index) => resumes[index]!.status === 'fulfilled');
      const { output } = (await endOf(handle)) as { output: number[] };
      if (count === 2) expect(output.toSorted((a, b) => a - b)).toEqual([1, 2]);
      else expect(accepted).toContain(output[0]);
      expect(output).toHaveLength(count);
      return `${count} of ${accepted.length}`;
    });
  });

  it('the end of a child concurrent with the suspension of its parent reaches the parent', async () => {
    await repeat(async (numbers) => {
      const ms = numbers.below(10);
      expect(await endOf(await stage().client.start(Mother, ms))).toEqual({ output: ms });
      return 'ended';
    });
  });

  it('the cancellation of a parent concurrent with the start of its child leaves no active child', async () => {
    const { client, database } = stage();
    const outcomes = await repeat(async (numbers) => {
      const handle = await client.start(Guardian, numbers.below(12));
      await sleep(numbers.below(8));
      await handle.cancel();
      expect(await endOf(handle)).toEqual({ code: 'WORKFLOW_CANCELLED' });
      const children = (): Promise<{ status: string }[]> =>
        database.query('SELECT status FROM durable.workflow_runs WHERE parent_run_id = $1', [handle.runId]);
      await waitFor(async () => (await children()).every(({ status }) => status === 'cancelled'), {
        message: `the child of ${handle.runId} to be cancelled`,
      });
      return `${(await children()).length} children`;
    });
    for (const outcome of Object.keys(outcomes)) expect(['0 children', '1 children']).toContain(outcome);
  });

  it('all these operations leave no active run and no open wait', async () => {
    const { database } = stage();
    const left = (): Promise<unknown[]> =>
      database.query(`SELECT r.id, r.name, r.status FROM durable.workflow_runs r WHERE r.finished_at IS NULL
        UNION ALL SELECT w.run_id, w.step_key, w.kind FROM durable.workflow_waits w`);
    await waitFor(async () => (await left()).length === 0);
    expect(await left()).toEqual([]);
  });
});
