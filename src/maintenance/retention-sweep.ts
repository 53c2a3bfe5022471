import {
  combineRules,
  deletesRuns,
  ownRules,
  shortestRetention,
  type RetentionConfiguration,
  type RetentionRules,
} from '../core/retention.js';
import type { Database } from '../store/database.js';
import { changeNamed } from '../store/many-runs.js';
import { deleteTrees } from '../store/run-deletion.js';
import { DELETION, expireRuns } from '../store/sql/delete-runs.js';
import { SCAN_START, scanExpired, SCANNED_RUNS } from '../store/sql/expired-runs.js';
import { endRetentionTurn, recordRetention, takeRetentionTurn } from '../store/sql/retention-turn.js';
import { findTrees, type TreeRoot, type TreeRun } from '../store/sql/run-trees.js';
import { LEASE_MS, paced, roundPause } from './retention-pace.js';
import type { Sweep } from './sweep.js';

/** Longest pause, in milliseconds, after a round that leaves many runs alone. */
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
    this.everyMs = roundPause(shortestRetention(combineRules(configuration, {})) ?? Number.POSITIVE_INFINITY);
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
    const seen = await paced(signal, () => scanExpired(database, turn.after, rules));
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
    const find = (from: readonly TreeRoot[]): Promise<TreeRun[]> => paced(signal, () => findTrees(database, from, rules));
    const remove = async (runs: readonly TreeRun[]): Promise<string[]> =>
      signal.aborted ? [] : paced(signal, () => this.deleteUnlessRefused(runs));
    return (await deleteTrees(roots, { find, remove })).deleted;
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
