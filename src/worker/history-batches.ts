import type { ClaimedRun } from '../store/sql/claim-runs.js';

/** Maximum number of bytes of histories that one statement loads. */
const BATCH_BYTES = 16 << 20;

/** Splits runs into groups. One statement loads the histories of one group. */
export function* historyBatches(runs: readonly ClaimedRun[]): Generator<ClaimedRun[]> {
  let batch: ClaimedRun[] = [];
  let bytes = 0;
  for (const run of runs) {
    if (batch.length > 0 && bytes + run.historyBytes > BATCH_BYTES) {
      yield batch;
      batch = [];
      bytes = 0;
    }
    batch.push(run);
    bytes += run.historyBytes;
  }
  if (batch.length > 0) yield batch;
}
