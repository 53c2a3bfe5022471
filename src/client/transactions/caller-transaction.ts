import type { EntityManager, EntitySubscriberInterface, QueryRunner } from 'typeorm';

import { CALLER_MARK } from '../../store/sql/caller-mark.js';
import { transactionControls, type TransactionControl } from './transaction-control.js';

/**
 * Created run or callback that a rollback to a savepoint may undo. `depth` is the number of
 * savepoints that were set when it was registered. A rollback to one of these savepoints undoes it.
 */
interface Nested {
  depth: number;
}

/** A caller's transaction, tracked from the first client call that joins it. */
export class CallerTransaction {
  private state: 'open' | 'ended' = 'open';
  /**
   * Names of the savepoints that were set since tracking began, outermost first. A rollback to a
   * savepoint that is not in this list undoes everything since tracking began.
   */
  private readonly savepoints: string[] = [];
  /**
   * Number of unanswered statements that end the transaction, or that release or roll back to a
   * savepoint.
   */
  private ending = 0;
  private effects: (Nested & { readonly callback: () => void })[] = [];
  private readonly created = new Map<string, Nested>();

  constructor(private readonly queryRunner: QueryRunner) {}

  /** True while further statements can join the transaction. */
  get isOpen(): boolean {
    return this.isAlive && this.ending === 0;
  }

  /**
   * @internal True until the transaction has ended, also while its COMMIT or ROLLBACK is being
   *   sent.
   */
  get isAlive(): boolean {
    return !this.hasEnded && this.queryRunner.isTransactionActive && !this.queryRunner.isReleased;
  }

  /**
   * @internal True after the end of the transaction. TypeORM's own state misses a COMMIT or
   *   ROLLBACK that the application sends as SQL text.
   */
  get hasEnded(): boolean {
    return this.state === 'ended';
  }

  /**
   * Registers runs that this transaction has created. Other connections cannot see these runs
   * before the commit.
   */
  creates(runIds: Iterable<string>): void {
    for (const id of runIds) this.created.set(id, { depth: this.savepoints.length });
  }

  /** True while the transaction is open and has created the run. */
  holds(runId: string): boolean {
    return this.isAlive && this.created.has(runId);
  }

  /**
   * Registers a callback for the commit. Never calls it when the transaction, or the current
   * savepoint, is rolled back.
   */
  afterCommit(callback: () => void): void {
    this.effects.push({ depth: this.savepoints.length, callback });
  }

  /**
   * @internal Handles a statement that is about to be sent. After COMMIT or ROLLBACK, a client call
   *   that was not awaited must fail. Its statements would otherwise run outside the transaction,
   *   and create a run although the caller rolled back.
   */
  sends(statement: string): void {
    if (!statement.startsWith(CALLER_MARK)) this.ending += endings(transactionControls(statement));
    else if (this.ending > 0 || this.hasEnded) throw new TransactionEndedError();
  }

  /** @internal Handles the response to a statement. */
  answered(statement: string, success: boolean, command: unknown): void {
    if (statement.startsWith(CALLER_MARK)) return;
    const controls = transactionControls(statement);
    // When another subscriber throws an error, TypeORM may report an answer without having reported
    // the statement. The count would then become negative, so it is kept at 0 or above.
    this.ending = Math.max(0, this.ending - endings(controls));
    for (const control of controls) this.apply(control, success, command);
  }

  private apply(control: TransactionControl, success: boolean, command: unknown): void {
    if (control.kind === 'begin' || this.hasEnded) return;
    if ('chain' in control) {
      // When a statement of the transaction has failed, PostgreSQL answers COMMIT with ROLLBACK.
      const isCommitted = success && control.kind === 'commit' && command !== 'ROLLBACK';
      return this.end(isCommitted ? 'committed' : 'rolledBack');
    }
    if (!success) return;
    if (control.kind === 'savepoint') return void this.savepoints.push(control.name);
    const index = this.savepoints.lastIndexOf(control.name);
    if (control.kind === 'rollbackTo') this.rollBackTo(index);
    else if (index !== -1) this.release(index);
  }

  /**
   * Removes the effects that were registered after a savepoint. Keeps the savepoint, because a
   * later statement may roll back to it again.
   */
  private rollBackTo(index: number): void {
    this.savepoints.length = index + 1;
    this.effects = this.effects.filter(({ depth }) => depth <= index);
    for (const [id, { depth }] of this.created) if (depth > index) this.created.delete(id);
  }

  /** Moves the effects that were registered after a savepoint to the enclosing savepoint. */
  private release(index: number): void {
    this.savepoints.length = index;
    for (const each of [...this.effects, ...this.created.values()]) each.depth = Math.min(each.depth, index);
  }

  private end(how: 'committed' | 'rolledBack'): void {
    this.state = 'ended';
    if (how === 'rolledBack') return;
    for (const { callback } of this.effects) {
      try {
        callback();
      } catch {
        // Ignore the error. If it were thrown, TypeORM would report to the caller that COMMIT
        // failed. Polling finds a run that was not announced.
      }
    }
  }
}

function endings(controls: readonly TransactionControl[]): number {
  return controls.filter(({ kind }) => kind !== 'begin' && kind !== 'savepoint').length;
}

/** Error for a transaction that its caller ended while a client call was using it. */
export class TransactionEndedError extends Error {}

const open = new WeakMap<QueryRunner, CallerTransaction>();

const watcher: EntitySubscriberInterface = {
  beforeQuery: ({ queryRunner, query }) => open.get(queryRunner)?.sends(query),
  afterQuery: ({ queryRunner, query, success, rawResults }) => {
    const transaction = open.get(queryRunner);
    if (!transaction) return;
    transaction.answered(query, success, (rawResults as { command?: unknown } | undefined)?.command);
    if (transaction.hasEnded && success && beginsTransaction(query)) open.delete(queryRunner);
  },
};

/** True when a statement starts a new transaction on the connection. */
function beginsTransaction(statement: string): boolean {
  const last = transactionControls(statement).at(-1);
  return last !== undefined && (last.kind === 'begin' || ('chain' in last && last.chain));
}

/**
 * Tracks the open transaction of a manager until it ends. Returns undefined when the manager has no
 * open transaction. Because of the tracking, new runs are announced at the commit, and handles know
 * whether their run is committed. The announcement is only an optimization: polling finds runs that
 * were not announced.
 */
export function openTransactionOf(manager: EntityManager): CallerTransaction | undefined {
  const { queryRunner } = manager;
  if (!queryRunner?.isTransactionActive || queryRunner.isReleased) return undefined;
  // TypeORM 0.3 has this getter only under the name `connection`. The subscribers are read each
  // time, because a DataSource that is initialized again has a new list of subscribers.
  const { subscribers } = queryRunner.connection as unknown as { subscribers: EntitySubscriberInterface[] };
  if (!subscribers.includes(watcher)) subscribers.push(watcher);
  let transaction = open.get(queryRunner);
  if (!transaction) {
    transaction = new CallerTransaction(queryRunner);
    open.set(queryRunner, transaction);
  }
  return transaction.isOpen ? transaction : undefined;
}
