import { performance } from 'node:perf_hooks';

import {
  combineRules,
  deletesRuns,
  ownRules,
  shortestRetention,
  type RetentionConfiguration,
  type RetentionRules,
} from '../core/retention.js';
import { sleep } from '../core/timers.js';
import type { Database } from '../store/database.js';
import { changeNamed } from '../store/many-runs.js';
import { deleteTrees } from '../store/run-deletion.js';
import { DELETION, expireRuns } from '../store/sql/delete-runs.js';
import { SCAN_START, scanExpired, SCANNED_RUNS } from '../store/sql/expired-runs.js';
import { endRetentionTurn, recordRetention, takeRetentionTurn } from '../store/sql/retention-turn.js';
import { findTrees, type TreeRoot, type TreeRun } from '../store/sql/run-trees.js';
import type { Sweep } from './sweep.js';

/** Milliseconds after which the turn of a process that died is free. */
const LEASE_MS = 60_000;
/**
 * Pause after each statement, as a multiple of the time that the statement took. So retention uses
 * at most a tenth of one connection, and slows down by itself when the server is busy.
 */
const PAUSE_PER_WORK = 9;
/**
 * Pause between two rounds through all runs, as a part of the shortest retention, with its shortest
 * and longest length in milliseconds. A round that leaves many runs alone is followed by a longer
 * pause.
 */
const PAUSE_PER_RETENTION = 0.05;
const MIN_ROUND_PAUSE_MS = 1_000;
const USUAL_ROUND_PAUSE_MS = 60_000;
const MAX_ROUND_PAUSE_MS = 3_600_000;
/**
 * Milliseconds by which each run that a round leaves alone lengthens the pause before the next
 * round. Without this pause, old runs that stay would be read again and again.
 */
const PAUSE_PER_RUN_LEFT_MS = 0.2;

/**
 * Deletes ended runs whose retention has passed. The runs are read in rounds, in the order of their
 * creation. One process at a time reads the next runs, and any process may continue after it. Two
 * processes at the same time would do no harm. A process that has only rules to keep runs records
 * them, and deletes nothing.
 */
export class RetentionSweep implements Sweep {
  readonly failure = 'sweep: could not delete runs whose retention has passed';
  /** Pause after a failure too. */
  readonly everyMs: number;
  private isRecorded = false;

  constructor(
    private readonly database: Database,
    private readonly configuration: RetentionConfiguration,
  ) {
    const shortestMs = shortestRetention(combineRules(configuration, {})) ?? Number.POSITIVE_INFINITY;
    this.everyMs = Math.min(Math.max(shortestMs * PAUSE_PER_RETENTION, MIN_ROUND_PAUSE_MS), USUAL_ROUND_PAUSE_MS);
  }

  async run(signal: AbortSignal): Promise<number | undefined> {
    const { database, configuration } = this;
    if (!this.isRecorded) await recordRetention(database, ownRules(configuration));
    // A process that only keeps runs takes no turn: it would end the round of those that delete.
    if (!deletesRuns(configuration)) return undefined;
    const turn = await takeRetentionTurn(database, LEASE_MS);
    // Without a turn, record the rules again next time: the row may have been deleted by hand.
    this.isRecorded = turn !== undefined;
    if (turn === undefined) return undefined;
    const rules = combineRules(configuration, turn.workflows);
    const seen = await this.paced(signal, () => scanExpired(database, turn.after, rules));
    const deleted = await this.delete(
      seen.filter(({ isExpired }) => isExpired),
      rules,
      signal,
    );
    if (signal.aborted) {
      await endRetentionTurn(database, turn, 0);
      return undefined;
    }
    const leftAlone = turn.leftAlone + seen.filter(({ id }) => !deleted.has(id)).length;
    if (seen.length === SCANNED_RUNS) {
      await endRetentionTurn(database, { after: seen.at(-1)!, leftAlone }, 0);
      return 0;
    }
    const roundPauseMs = Math.min(Math.max(this.everyMs, leftAlone * PAUSE_PER_RUN_LEFT_MS), MAX_ROUND_PAUSE_MS);
    await endRetentionTurn(database, { after: SCAN_START, leftAlone: 0 }, roundPauseMs);
    return undefined;
  }

  private async delete(roots: readonly TreeRoot[], rules: RetentionRules, signal: AbortSignal): Promise<ReadonlySet<string>> {
    if (roots.length === 0 || signal.aborted) return new Set();
    const { database } = this;
    const find = (from: readonly TreeRoot[]): Promise<TreeRun[]> => this.paced(signal, () => findTrees(database, from, rules));
    const remove = async (runs: readonly TreeRun[]): Promise<string[]> =>
      signal.aborted ? [] : this.paced(signal, () => this.deleteUnlessRefused(runs));
    return (await deleteTrees(roots, { find, remove })).deleted;
  }

  /** Does the work, then pauses. The pause ends early when the process shuts down. */
  private async paced<T>(signal: AbortSignal, work: () => Promise<T>): Promise<T> {
    const began = performance.now();
    const result = await work();
    await sleep((performance.now() - began) * PAUSE_PER_WORK, undefined, { ref: false, signal }).catch(() => undefined);
    return result;
  }

  /** Deletes runs, and leaves out those that a trigger or a rule of the database protects. */
  private async deleteUnlessRefused(runs: readonly TreeRun[]): Promise<string[]> {
    const byId = new Map(runs.map((run) => [run.id, run]));
    return changeNamed(this.database, DELETION, [...byId.keys()].sort(), (ids) =>
      expireRuns(
        this.database,
        ids.map((id) => byId.get(id)!),
      ),
    );
  }
}
