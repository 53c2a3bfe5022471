import { performance } from 'node:perf_hooks';

import type { RetentionRule } from '../core/retention.js';
import type { Database } from '../store/database.js';
import { faultOf } from '../store/database-errors.js';
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
    const refused = new Map<string, unknown>();
    const dueInMs = await this.takeTurn(signal, refused);
    // The progress is stored by now, so a refused run does not keep the chunks of later runs.
    const [first] = refused.values();
    if (refused.size > 0) throw first;
    return dueInMs;
  }

  /** @param refused receives the runs whose chunks a trigger or a rule of the database protects */
  private async takeTurn(signal: AbortSignal, refused: Map<string, unknown>): Promise<number | undefined> {
    const { database, rule } = this;
    const begin = await takeStreamTurn(database, LEASE_MS);
    if (begin === undefined) return undefined;
    let after: string = begin;
    const until = performance.now() + TURN_MS;
    while (!signal.aborted && performance.now() < until) {
      const from: string = after;
      const { runs, rest }: StreamScan = await paced(signal, () => scanStreams(database, from, rule));
      for (const { runId, stream } of runs) {
        if (stream !== undefined && (await this.removeUnlessRefused(runId, stream, signal, until, refused)) === 'interrupted') break;
        // The next round finds further streams of the run.
        after = runId;
      }
      if (rest === 'none' && (runs.length === 0 || after === runs.at(-1)!.runId)) {
        const isOver = runs.every(({ runId, stream }) => stream === undefined || refused.has(runId));
        await endStreamTurn(database, '', isOver ? this.everyMs : 0);
        return isOver ? undefined : 0;
      }
    }
    await endStreamTurn(database, after, 0);
    return signal.aborted ? undefined : 0;
  }

  private async removeUnlessRefused(
    runId: string,
    stream: string,
    signal: AbortSignal,
    until: number,
    refused: Map<string, unknown>,
  ): Promise<'removed' | 'refused' | 'interrupted'> {
    try {
      return await this.remove(runId, stream, signal, until);
    } catch (error) {
      if (faultOf(error) !== 'data') throw error;
      refused.set(runId, error);
      return 'refused';
    }
  }

  /** Removes the chunks of a stream, unless time runs out before all are removed. */
  private async remove(runId: string, stream: string, signal: AbortSignal, until: number): Promise<'removed' | 'interrupted'> {
    const { database, rule } = this;
    const mark = await paced(signal, () => markStreamExpired(database, { runId, stream }, rule));
    if (mark === undefined) return 'removed';
    for (let count = DELETED_CHUNKS; count === DELETED_CHUNKS;) {
      if (signal.aborted || performance.now() > until) return 'interrupted';
      count = await paced(signal, () => deleteExpiredChunks(database, runId, stream, mark));
    }
    return 'removed';
  }
}
