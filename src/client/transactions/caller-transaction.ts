import type { EntityManager, EntitySubscriberInterface, QueryRunner } from 'typeorm';

import { CALLER_MARK } from '../../store/sql/caller-mark.js';
import { transactionControls, type TransactionControl } from './transaction-control.js';

/** What depends on savepoints, by how many there were when it was done: when one of them is rolled back it never happened. */
interface Nested {
  depth: number;
}

/** One transaction of a caller, from the first time that it is used by a client. */
export class CallerTransaction {
  private state: 'open' | 'ended' = 'open';
  /** Savepoints made since it was first seen. One of another name is older than all that is known of here. */
  private readonly savepoints: string[] = [];
  /** Statements on their way that take back what was done, or end it. */
  private ending = 0;
  private effects: (Nested & { readonly callback: () => void })[] = [];
  private readonly created = new Map<string, Nested>();

  constructor(private readonly queryRunner: QueryRunner) {}

  get isOpen(): boolean {
    return this.isAlive && this.ending === 0;
  }

  /** @internal Open, though its end may be on its way. */
  get isAlive(): boolean {
    return !this.hasEnded && this.queryRunner.isTransactionActive && !this.queryRunner.isReleased;
  }

  /** @internal TypeORM does not know of ends that were sent by hand. */
  get hasEnded(): boolean {
    return this.state === 'ended';
  }

  /** These runs were created in it: nobody else sees them before it commits. */
  creates(runIds: Iterable<string>): void {
    for (const id of runIds) this.created.set(id, { depth: this.savepoints.length });
  }

  /** Whether it is open and the run was created in it. */
  holds(runId: string): boolean {
    return this.isAlive && this.created.has(runId);
  }

  /** Calls back after the commit; never when it, or a savepoint that it is in now, is rolled back. */
  afterCommit(callback: () => void): void {
    this.effects.push({ depth: this.savepoints.length, callback });
  }

  /**
   * @internal A statement is about to be sent. What comes after COMMIT or ROLLBACK on the same connection would be a transaction of its own:
   * a call that was not awaited must fail instead of leaving a run behind that the caller took back.
   */
  sends(statement: string): void {
    if (!statement.startsWith(CALLER_MARK)) this.ending += endings(transactionControls(statement));
    else if (this.ending > 0 || this.hasEnded) throw new TransactionEndedError();
  }

  /** @internal A statement was answered. */
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
      // PostgreSQL answers COMMIT with ROLLBACK where a statement has failed before.
      const isCommitted = success && control.kind === 'commit' && command !== 'ROLLBACK';
      return this.end(isCommitted ? 'committed' : 'rolledBack');
    }
    if (!success) return;
    if (control.kind === 'savepoint') return void this.savepoints.push(control.name);
    const index = this.savepoints.lastIndexOf(control.name);
    if (control.kind === 'rollbackTo') this.rollBackTo(index);
    else if (index !== -1) this.release(index);
  }

  /** The savepoint stays, and may be rolled back to again. What was done since never happened. */
  private rollBackTo(index: number): void {
    this.savepoints.length = index + 1;
    this.effects = this.effects.filter(({ depth }) => depth <= index);
    for (const [id, { depth }] of this.created) if (depth > index) this.created.delete(id);
  }

  /** What was done in it now belongs to what is around it. */
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
        // TypeORM would tell the caller that its COMMIT has failed. Whatever was to be told is found by polling.
      }
    }
  }
}

function endings(controls: readonly TransactionControl[]): number {
  return controls.filter(({ kind }) => kind !== 'begin' && kind !== 'savepoint').length;
}

/** The caller ended its transaction under the call. */
export class TransactionEndedError extends Error {}

const open = new WeakMap<QueryRunner, CallerTransaction>();

const watcher: EntitySubscriberInterface = {
  beforeQuery: ({ queryRunner, query }) => open.get(queryRunner)?.sends(query),
  afterQuery: ({ queryRunner, query, success, rawResults }) => {
    const transaction = open.get(queryRunner);
    if (!transaction) return;
    transaction.answered(query, success, (rawResults as { command?: unknown } | undefined)?.command);
    if (transaction.hasEnded && success && beginsAnew(query)) open.delete(queryRunner);
  },
};

/** Whether the connection is in a transaction after it that is another than before. */
function beginsAnew(statement: string): boolean {
  const last = transactionControls(statement).at(-1);
  return last !== undefined && (last.kind === 'begin' || ('chain' in last && last.chain));
}

/**
 * The transaction that a manager is in, watched to its end: so that the runs started in it are told of at once, and handles know. Only a short cut: runs
 * that nobody was told of are found by polling all the same.
 */
export function openTransactionOf(manager: EntityManager): CallerTransaction | undefined {
  const { queryRunner } = manager;
  if (!queryRunner?.isTransactionActive || queryRunner.isReleased) return undefined;
  // The getter's new name is not in TypeORM 0.3. A DataSource that is initialized again makes a new list.
  const { subscribers } = queryRunner.connection as unknown as { subscribers: EntitySubscriberInterface[] };
  if (!subscribers.includes(watcher)) subscribers.push(watcher);
  let transaction = open.get(queryRunner);
  if (!transaction) {
    transaction = new CallerTransaction(queryRunner);
    open.set(queryRunner, transaction);
  }
  return transaction.isOpen ? transaction : undefined;
}
