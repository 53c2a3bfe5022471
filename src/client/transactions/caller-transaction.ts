import type { EntityManager, EntitySubscriberInterface, QueryRunner } from 'typeorm';

import { CALLER_MARK } from '../../store/sql/caller-mark.js';
import { transactionControls, type TransactionControl } from './transaction-control.js';

/**
 * A side effect of the transaction, with the savepoint depth at which it was registered. Rolling
 * back to an outer savepoint removes the effect.
 */
interface Nested {
  depth: number;
}

/** A transaction of a caller, tracked from the first client call in it. */
export class CallerTransaction {
  private state: 'open' | 'ended' = 'open';
  /**
   * Names of the savepoints since tracking began, outermost first. A rollback to any other name
   * goes back before the first client call.
   */
  private readonly savepoints: string[] = [];
  /** Number of statements sent, but not yet answered, that roll back or end the transaction. */
  private ending = 0;
  private effects: (Nested & { readonly callback: () => void })[] = [];
  private readonly created = new Map<string, Nested>();

  constructor(private readonly queryRunner: QueryRunner) {}

  /** True while statements can join the transaction. */
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
   * Registers runs that this transaction created: other connections do not see them before the
   * commit.
   */
  creates(runIds: Iterable<string>): void {
    for (const id of runIds) this.created.set(id, { depth: this.savepoints.length });
  }

  /** True while the transaction is open and contains the creation of the run. */
  holds(runId: string): boolean {
    return this.isAlive && this.created.has(runId);
  }

  /**
   * Calls back after the commit. Never calls back when the transaction, or the current savepoint,
   * is rolled back.
   */
  afterCommit(callback: () => void): void {
    this.effects.push({ depth: this.savepoints.length, callback });
  }

  /**
   * @internal Handles a statement that is about to be sent. After COMMIT or ROLLBACK, a statement
   *   on the same connection would run in a transaction of its own. A call that was not awaited
   *   must fail instead: it would otherwise create a run that the caller rolled back.
   */
  sends(statement: string): void {
    if (!statement.startsWith(CALLER_MARK)) this.ending += endings(transactionControls(statement));
    else if (this.ending > 0 || this.hasEnded) throw new TransactionEndedError();
  }

  /** @internal Handles the response to a statement. */
  answered(statement: string, success: boolean, command: unknown): void {
    if (statement.startsWith(CALLER_MARK)) return;
    const controls = transactionControls(statement);
    // TypeORM's events do not come in pairs when another subscriber throws between them.
    this.ending = Math.max(0, this.ending - endings(controls));
    for (const control of controls) this.apply(control, success, command);
  }

  private apply(control: TransactionControl, success: boolean, command: unknown): void {
    if (control.kind === 'begin' || this.hasEnded) return;
    if ('chain' in control) {
      // PostgreSQL answers COMMIT with ROLLBACK after a statement of the transaction has failed.
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
   * Removes the effects since a savepoint. The savepoint itself stays, and can be rolled back to
   * again.
   */
  private rollBackTo(index: number): void {
    this.savepoints.length = index + 1;
    this.effects = this.effects.filter(({ depth }) => depth <= index);
    for (const [id, { depth }] of this.created) if (depth > index) this.created.delete(id);
  }

  /** Moves the effects since a savepoint to the enclosing savepoint. */
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
        // The exception would make TypeORM report a failed COMMIT to the caller. Polling finds the
        // runs that were not announced.
      }
    }
  }
}

function endings(controls: readonly TransactionControl[]): number {
  return controls.filter(({ kind }) => kind !== 'begin' && kind !== 'savepoint').length;
}

/** The caller ended its transaction while a client call was using it. */
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
 * Tracks the transaction that a manager is in, until its end. Tracking lets runs be announced at
 * the commit, and lets handles know of the commit. It is an optimization: polling finds runs that
 * were not announced.
 */
export function openTransactionOf(manager: EntityManager): CallerTransaction | undefined {
  const { queryRunner } = manager;
  if (!queryRunner?.isTransactionActive || queryRunner.isReleased) return undefined;
  // TypeORM 0.3 knows the getter only as `connection`. The DataSource is asked each time, because a
  // DataSource that is initialized again has a new list of subscribers.
  const { subscribers } = queryRunner.connection as unknown as { subscribers: EntitySubscriberInterface[] };
  if (!subscribers.includes(watcher)) subscribers.push(watcher);
  let transaction = open.get(queryRunner);
  if (!transaction) {
    transaction = new CallerTransaction(queryRunner);
    open.set(queryRunner, transaction);
  }
  return transaction.isOpen ? transaction : undefined;
}
