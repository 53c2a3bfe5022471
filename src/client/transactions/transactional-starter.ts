import type { EntityManager } from 'typeorm';

import { LeftoversError, TransactionConflictError } from '../../core/errors/index.js';
import type { NewRun } from '../../core/run.js';
import type { Database } from '../../store/database.js';
import { clearLeftovers, clearLeftoversIn, findLeftoversIn } from '../../store/sql/leftovers.js';
import { readRunNames } from '../../store/sql/read-runs.js';
import { findInTransaction, startInTransaction } from '../../store/sql/start-in-transaction.js';
import { findThrottled, requestStarts, type SharedRun } from '../../store/sql/start-requests.js';
import { callerError, endedDuringCall } from './caller-errors.js';
import type { JoinedTransaction } from './caller-transactions.js';

/**
 * Maximum number of attempts of a start. Another attempt is necessary when the id is taken, but the
 * lookup finds no run. The run was then deleted in the meantime, or this transaction cannot see it.
 */
const MAX_ROUNDS = 3;

/** Outcome of starts in a caller's transaction. */
export interface TransactionalStart {
  /** Ids of the runs that this call created. */
  readonly created: ReadonlySet<string>;
  /** Names of the workflows of runs that already existed, by run id. */
  readonly existing: ReadonlyMap<string, string>;
  /** Ids of the runs that count for starts with `throttle`, by the ids of these starts. */
  readonly counting: ReadonlyMap<string, string>;
}

/**
 * Starts runs in a caller's transaction. Uses the caller's connection and the module's own pool,
 * but no second connection of the caller.
 */
export class TransactionalStarter {
  constructor(private readonly database: Database) {}

  /**
   * Starts those of the runs that do not exist yet.
   *
   * @param ids `'given'` when another caller may use one of the ids
   * @param committed called with the created runs after the commit
   * @throws TransactionConflictError when a concurrent transaction conflicts
   * @throws InvalidInputError when the transaction is read-only or aborted
   */
  async start(
    joined: JoinedTransaction,
    runs: readonly NewRun[],
    ids: 'given' | 'generated',
    committed: (runs: readonly NewRun[]) => void,
  ): Promise<TransactionalStart> {
    const unique = [...new Map(runs.toReversed().map((run) => [run.id, run])).values()];
    // Sort by id, whatever the caller's order. Otherwise two transactions that start the same runs
    // in different orders could deadlock.
    unique.sort((a, b) => (a.id < b.id ? -1 : 1));
    const created = new Set<string>();
    const existing = new Map<string, string>();
    const shared = unique.filter(isShared);
    let counting: ReadonlyMap<string, string> = new Map();
    try {
      if (shared.length > 0) counting = await findThrottled(this.database, joined.manager, shared.filter(isThrottled));
      const wanted = unique.filter(({ id }) => !counting.has(id)).map((run) => (isShared(run) ? waitingForDecision(run) : run));
      await this.startOrFind(joined, wanted, ids, created, existing);
      const asked = runs.filter(isShared).filter(({ id }) => created.has(id));
      if (asked.length > 0) await requestStarts(this.database, joined.manager, asked);
    } catch (error) {
      throw callerError(
        error,
        unique.map(({ id }) => id),
        joined.argument,
      );
    }
    joined.transaction.creates(created);
    const started = unique.filter((run) => created.has(run.id));
    if (started.length > 0) joined.transaction.afterCommit(() => committed(started));
    return { created, existing, counting };
  }

  private async startOrFind(
    { manager, transaction, argument }: JoinedTransaction,
    runs: readonly NewRun[],
    ids: 'given' | 'generated',
    created: Set<string>,
    existing: Map<string, string>,
  ): Promise<void> {
    let missing = runs;
    let isFixed = false;
    let mode: 'always' | 'unlessSnapshot' = ids === 'given' ? 'unlessSnapshot' : 'always';
    for (let round = 0; missing.length > 0; round++) {
      if (round === MAX_ROUNDS) {
        const lost = missing.map(({ id }) => id);
        const kept = await findLeftoversIn(this.database, manager, lost);
        if (kept !== undefined) throw new LeftoversError(kept);
        throw new TransactionConflictError(lost, '40001', 'their ids are taken by runs that this transaction cannot see');
      }
      if (!transaction.isOpen) throw endedDuringCall(argument);
      const { started, withheld } = await startInTransaction(this.database, manager, missing, ids, mode);
      for (const id of started) created.add(id);
      missing = missing.filter(({ id }) => !created.has(id));
      if (missing.length === 0) return;
      const left = missing.map(({ id }) => id);
      // Under REPEATABLE READ and SERIALIZABLE, an INSERT aborts the transaction when another
      // transaction has committed the same run since the snapshot. So the first INSERT creates
      // nothing (`withheld`), and the lookup uses another connection, which sees such a run.
      const found = withheld ? await readRunNames(this.database, left) : await findInTransaction(this.database, manager, left);
      for (const [id, name] of found) existing.set(id, name);
      missing = missing.filter(({ id }) => !existing.has(id));
      isFixed ||= withheld;
      if (missing.length > 0 && !withheld) await this.removeLeftovers(manager, missing, isFixed ? 'caller' : 'both');
      mode = 'always';
    }
  }

  /**
   * Removes rows that deleted runs with these ids left behind. The module's own connection removes
   * most of them, so that the caller's transaction locks few rows. The caller's transaction then
   * removes the rest, because it may have deleted the runs itself. With a fixed snapshot, only the
   * caller's transaction removes rows. If another connection removed them, the caller's DELETE of
   * the same rows would fail with a serialization error.
   */
  private async removeLeftovers(manager: EntityManager, runs: readonly NewRun[], on: 'caller' | 'both'): Promise<void> {
    const ids = runs.map(({ id }) => id);
    // clearLeftovers does not remove rows that the caller's transaction has locked, and its error
    // is ignored. clearLeftoversIn, in that transaction, removes the rest.
    if (on === 'both') await clearLeftovers(this.database, ids).catch(ignore);
    await clearLeftoversIn(this.database, manager, ids);
  }
}

function isShared(run: NewRun): run is SharedRun {
  return run.shared !== undefined;
}

function isThrottled({ shared }: SharedRun): boolean {
  return shared.kind === 'throttle';
}

/** Delays the run, so that the run is not due in the moment until its start is requested. */
function waitingForDecision(run: SharedRun): NewRun {
  return { ...run, delayMs: run.shared.periodMs, startAt: null };
}

function ignore(): void {}
