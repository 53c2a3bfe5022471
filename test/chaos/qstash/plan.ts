import { SeededNumbers } from '../../support/faults/seeded-numbers.js';
import type { ChaosSettings } from '../arguments.js';
import { planRuns, weightsOf, type PlannedRun } from '../plan.js';
import type { Shape } from '../shapes.js';

const WEIGHTS = {
  eight: 40,
  chain: 6,
  fan: 8,
  nap: 6,
  flaky: 10,
  doomed: 5,
  slow: 3,
  signalled: 10,
  raced: 6,
  told: 8,
  parent: 6,
  endless: 5,
  booking: 8,
  undone: 4,
  transfer: 10,
  recalled: 4,
} satisfies Partial<Record<Shape, number>>;

/**
 * Plans the runs from the seed alone. The dice of QStash and the steps themselves decide about
 * faults.
 */
export function planPushed({ seed, runs, workers, seconds, workload }: ChaosSettings): PlannedRun[] {
  return planRuns(new SeededNumbers(seed), { runs, workers, totalMs: seconds * 1_000 }, weightsOf(workload, WEIGHTS));
}
