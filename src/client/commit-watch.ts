import type { EntityManager, EntitySubscriberInterface, QueryRunner } from 'typeorm';

import { CALLER_MARK } from '../store/sql/start-in-transaction.js';

/** What depends on a savepoint, counted from where the transaction was first seen: one that is rolled back takes it along. */
interface Nested {
  depth: number;
}

/** One transaction of a caller, from the first time that it is used by a client. */
export class CallerTransaction {
  private state: 'open' | 'ended' = 'open';
  private depth = 0;
  private ending = false;
  private effects: (Nested & { readonly callback: () => void })[] = [];
  private readonly created = new Map<string, Nested>();

  constructor(private readonly queryRunner: QueryRunner) {}

  get isOpen(): boolean {
    return this.isAlive && !this.ending;
  }

  /** @internal Open, though its end may be on its way. */
  get isAlive(): boolean {
    return this.state === 'open' && this.queryRunner.isTransactionActive && !this.queryRunner.isReleased;
  }

  /** These runs were created in it: nobody else sees them before it commits. */
  creates(runIds: Iterable<string>): void {
    for (const id of runIds) this.created.set(id, { depth: this.depth });
  }

  /** Whether it is open and the run was created in it. */
  holds(runId: string): boolean {
    return this.isAlive && this.created.has(runId);
  }

  /** Calls back after the commit; never when it, or the savepoint that it is in now, is rolled back. */
  afterCommit(callback: () => void): void {
    this.effects.push({ depth: this.depth, callback });
  }

  /**
   * @internal A statement is about to be sent. What comes after COMMIT or ROLLBACK on the same connection would be a transaction of its own:
   * a call that was not awaited must fail instead of leaving a run behind that the caller took back.
   */
  sends(statement: string): void {
    if (/^(COMMIT|ROLLBACK|RELEASE)/.test(statement)) this.ending = true;
    else if (this.ending && statement.startsWith(CALLER_MARK)) throw new TransactionEndedError();
  }

  /** @internal A savepoint was made. */
  descend(): void {
    this.depth++;
  }

  /** @internal The innermost savepoint has ended: what was done in it now belongs to what is around it, or never happened. */
  ascend(how: 'committed' | 'rolledBack'): void {
    this.depth--;
    this.ending = false;
    const isInner = ({ depth }: Nested): boolean => depth > this.depth;
    if (how === 'rolledBack') {
      this.effects = this.effects.filter((effect) => !isInner(effect));
      for (const [id, run] of this.created) if (isInner(run)) this.created.delete(id);
    } else {
      for (const each of [...this.effects, ...this.created.values()]) if (isInner(each)) each.depth = this.depth;
    }
  }

  /** @internal */
  end(how: 'committed' | 'rolledBack'): void {
    this.state = 'ended';
    if (how === 'committed') for (const { callback } of this.effects) callback();
  }
}

/** The caller ended its transaction under the call. */
export class TransactionEndedError extends Error {}

const open = new WeakMap<QueryRunner, CallerTransaction>();

const watcher: EntitySubscriberInterface = {
  beforeQuery: ({ queryRunner, query }) => open.get(queryRunner)?.sends(query),
  afterTransactionStart: ({ queryRunner }) => open.get(queryRunner)?.descend(),
  afterTransactionCommit: ({ queryRunner }) => over(queryRunner, 'committed'),
  afterTransactionRollback: ({ queryRunner }) => over(queryRunner, 'rolledBack'),
};

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
  if (!transaction?.isAlive) {
    transaction = new CallerTransaction(queryRunner);
    open.set(queryRunner, transaction);
  }
  return transaction.isOpen ? transaction : undefined;
}

function over(queryRunner: QueryRunner, how: 'committed' | 'rolledBack'): void {
  const transaction = open.get(queryRunner);
  // The end of an inner transaction is that of a savepoint.
  if (queryRunner.isTransactionActive) return transaction?.ascend(how);
  open.delete(queryRunner);
  transaction?.end(how);
}
