import type { EntityManager } from 'typeorm';

import { LeftoversError, TransactionConflictError } from '../../core/errors/index.js';
import type { NewRun } from '../../core/run.js';
import type { Database } from '../../store/database.js';
import { clearLeftovers, clearLeftoversIn, findLeftoversIn } from '../../store/sql/leftovers.js';
import { readRunNames } from '../../store/sql/read-runs.js';
import { findInTransaction, startInTransaction } from '../../store/sql/start-in-transaction.js';
import { callerError, endedUnder } from './caller-errors.js';
import type { JoinedTransaction } from './caller-transactions.js';

/** How often a start looks again for a run that was there and then was not. */
const MAX_ROUNDS = 3;

export interface TransactionalStart {
  /** The ids of the runs that this call created. */
  readonly created: ReadonlySet<string>;
  /** The workflow names of those that were there before. */
  readonly existing: ReadonlyMap<string, string>;
}

/** Starts runs in a transaction of the caller. Uses its connection and our own pool, never a second connection of the caller's. */
export class TransactionalStarter {
  constructor(private readonly database: Database) {}

  /**
   * @param ids whether somebody else may use one of the ids
   * @param committed is called with the runs once they are real
   * @throws TransactionConflictError, InvalidInputError when the transaction is read-only or aborted
   */
  async start(
    joined: JoinedTransaction,
    runs: readonly NewRun[],
    ids: 'given' | 'generated',
    committed: (runs: readonly NewRun[]) => void,
  ): Promise<TransactionalStart> {
    const unique = [...new Map(runs.toReversed().map((run) => [run.id, run])).values()];
    // In one order, whatever the caller's: two transactions that start the same runs wait for each other, and not in a circle.
    unique.sort((a, b) => (a.id < b.id ? -1 : 1));
    const created = new Set<string>();
    const existing = new Map<string, string>();
    try {
      await this.startOrFind(joined, unique, ids, created, existing);
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
    return { created, existing };
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
      if (!transaction.isOpen) throw endedUnder(argument);
      const { started, withheld } = await startInTransaction(this.database, manager, missing, ids, mode);
      for (const id of started) created.add(id);
      missing = missing.filter(({ id }) => !created.has(id));
      if (missing.length === 0) return;
      const left = missing.map(({ id }) => id);
      // Behind a fixed snapshot an INSERT that meets a run committed since aborts the transaction: look from outside first.
      const found = withheld ? await readRunNames(this.database, left) : await findInTransaction(this.database, manager, left);
      for (const [id, name] of found) existing.set(id, name);
      missing = missing.filter(({ id }) => !existing.has(id));
      isFixed ||= withheld;
      if (missing.length > 0 && !withheld) await this.makeWay(manager, missing, isFixed ? 'caller' : 'both');
      mode = 'always';
    }
  }

  /**
   * Removes what earlier runs of these ids have left. On our own connection first, so that the
   * caller's transaction locks as little as possible; then in the caller's transaction, which may
   * have deleted the runs itself. A fixed snapshot would see the deletion of rows by us as a conflict.
   */
  private async makeWay(manager: EntityManager, runs: readonly NewRun[], on: 'caller' | 'both'): Promise<void> {
    const ids = runs.map(({ id }) => id);
    // Rows that the caller's transaction has locked are left to its own statement.
    if (on === 'both') await clearLeftovers(this.database, ids).catch(ignore);
    await clearLeftoversIn(this.database, manager, ids);
  }
}

function ignore(): void {}
