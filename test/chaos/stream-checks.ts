import { setTimeout as sleep } from 'node:timers/promises';

import type { Check, Outcome } from './checks.js';
import type { Driver, StreamReading } from './driver.js';
import { toldBy } from './shapes.js';

/** Milliseconds that readers may take to end after their runs. */
const READ_MS = 15_000;

/**
 * Checks that every reader of a stream ended with the same chunks in order, and with all chunks of
 * a completed run.
 */
export async function checkStreams(driver: Driver, outcome: Outcome): Promise<Check> {
  const name = 'every reader of a stream got each chunk once, in order';
  const late = Promise.all(
    outcome.planned
      .filter(({ id, shape, start }) => shape === 'told' && start !== 'rollback' && outcome.runs.has(id))
      .map((run) => driver.readAgain(run)),
  );
  const readings = await Promise.race([
    Promise.all([Promise.all(driver.readers), late]).then((all) => all.flat()),
    sleep(READ_MS, undefined, { ref: false }),
  ]);
  return { name, problems: readings ? readings.flatMap((reading) => problemsOf(reading, outcome)) : ['a reader has not ended'] };
}

function problemsOf({ run, values, problems }: StreamReading, outcome: Outcome): string[] {
  const expected = toldBy(run.input);
  const isComplete = outcome.runs.get(run.id)?.status === 'completed';
  const wanted = isComplete ? expected : expected.filter((value) => values.includes(value));
  const isRight = JSON.stringify(values) === JSON.stringify(wanted);
  return [...problems, ...(isRight ? [] : [`got ${JSON.stringify(values)}`])].map((problem) => `${run.id}: ${problem}`);
}
