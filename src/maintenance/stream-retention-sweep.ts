import { performance } from 'node:perf_hooks';

import type { RetentionRule } from '../core/retention.js';
import type { Database } from '../store/database.js';
import {
  DELETED_CHUNKS,
  deleteExpiredChunks,
  endStreamTurn,
  markStreamExpired,
  scanStreams,
  takeStreamTurn,
  type StreamScan,
} from '../store/sql/expired-streams.js';
import { LEASE_MS, paced, roundPause } from './retention-pace.js';
import type { Sweep } from './sweep.js';

/** Milliseconds for which one process works before another may continue; less than the lease. */
const TURN_MS = 20_000;

/**
 * Removes the chunks of ended runs whose retention for streams has passed, in small batches. The
 * last row of each stream stays as a mark until the run is deleted, so that readers learn that the
 * chunks were there. One process at a time works, and any process may continue after it.
 */
export class StreamRetentionSweep implements Sweep {
  readonly failure = 'sweep: could not remove chunks of streams whose retention has passed';
  /** Milliseconds between two rounds, and after a failure. */
  readonly everyMs: number;

  constructor(
    private readonly database: Database,
    private readonly rule: RetentionRule,
  ) {
    const { completed = Infinity, failed = Infinity, cancelled = Infinity } = rule;
    this.everyMs = roundPause(Math.min(completed, failed, cancelled));
  }

  async run(signal: AbortSignal): Promise<number | undefined> {
    const { database, rule } = this;
    const begin = await takeStreamTurn(database, LEASE_MS);
    if (begin === undefined) return undefined;
    let after: string = begin;
    const until = performance.now() + TURN_MS;
    while (!signal.aborted && performance.now() < until) {
      const from: string = after;
      const { runs, rest }: StreamScan = await paced(signal, () => scanStreams(database, from, rule));
      for (const { runId, stream } of runs) {
        if (stream !== undefined && !(await this.remove(runId, stream, signal, until))) break;
        // The next round finds further streams of the run.
        after = runId;
      }
      if (rest === 'none' && (runs.length === 0 || after === runs.at(-1)!.runId)) {
        const isOver = runs.every(({ stream }) => stream === undefined);
        await endStreamTurn(database, '', isOver ? this.everyMs : 0);
        return isOver ? undefined : 0;
      }
    }
    await endStreamTurn(database, after, 0);
    return signal.aborted ? undefined : 0;
  }

  /** Removes the chunks of a stream. Returns false when time ran out before all were removed. */
  private async remove(runId: string, stream: string, signal: AbortSignal, until: number): Promise<boolean> {
    const { database, rule } = this;
    const mark = await paced(signal, () => markStreamExpired(database, { runId, stream }, rule));
    if (mark === undefined) return true;
    for (let count = DELETED_CHUNKS; count === DELETED_CHUNKS;) {
      if (signal.aborted || performance.now() > until) return false;
      count = await paced(signal, () => deleteExpiredChunks(database, runId, stream, mark));
    }
    return true;
  }
}
