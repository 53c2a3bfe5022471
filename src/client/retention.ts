import { checkRetention, combineRules, type RetentionOptions } from '../core/retention.js';
import type { ShownStatus } from '../core/run.js';
import { countExpired } from '../store/sql/expired-runs.js';
import { readRecordedRetention } from '../store/sql/retention-turn.js';
import type { ClientDependencies } from './dependencies.js';

/** Number of runs that retention would delete, of one workflow and status. */
export interface RetentionCount {
  /** Name of the workflow. */
  workflow: string;
  /** Status of the runs. `continued` runs are earlier runs of a chain (`ctx.continueAsNew`). */
  status: ShownStatus;
  /** Number of these runs. */
  count: number;
}

/** Deletion of old runs: `client.retention`. See "Retention and deletion" in docs/operations.md. */
export class Retention {
  readonly #dependencies: ClientDependencies;

  /** @internal */
  constructor(dependencies: ClientDependencies) {
    this.#dependencies = dependencies;
  }

  /**
   * Counts the runs that retention would delete now, with the children that go with them. Deletes
   * nothing.
   *
   * @param retention rule to try instead of the module's `retention`. Rules of workflow classes
   *   take precedence over it (default: the module's `retention`)
   * @returns one entry for each workflow and status, or an empty list when no run would be deleted
   * @throws InvalidInputError, QueryTimeoutError
   * @example
   * await client.retention.preview({ completed: '30d', failed: '90d' });
   * // [{ workflow: 'order', status: 'completed', count: 1205 }, ...]
   */
  async preview(retention?: RetentionOptions): Promise<RetentionCount[]> {
    const { database, retention: configured } = this.#dependencies;
    const general = retention === undefined ? configured.general : checkRetention(retention, 'retention');
    const recorded = await readRecordedRetention(database);
    return countExpired(database, combineRules({ general, workflows: configured.workflows }, recorded));
  }
}
