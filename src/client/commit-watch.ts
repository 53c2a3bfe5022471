import type { EntityManager, EntitySubscriberInterface, QueryRunner } from 'typeorm';

/** One transaction of a caller, from the first start in it on. */
export class CallerTransaction {
  private state: 'open' | 'committed' | 'rolledBack' = 'open';
  private readonly callbacks: (() => void)[] = [];

  constructor(private readonly queryRunner: QueryRunner) {}

  get isOpen(): boolean {
    return this.state === 'open' && this.queryRunner.isTransactionActive && !this.queryRunner.isReleased;
  }

  /** Calls back after the commit; never when it is rolled back. */
  afterCommit(callback: () => void): void {
    this.callbacks.push(callback);
  }

  /** @internal */
  end(how: 'committed' | 'rolledBack'): void {
    if (this.state !== 'open') return;
    this.state = how;
    if (how === 'committed') for (const callback of this.callbacks) callback();
  }
}

type Subscribers = { subscribers: EntitySubscriberInterface[] };

const watched = new WeakSet<object>();
const open = new WeakMap<QueryRunner, CallerTransaction>();

/**
 * The transaction that a manager is in, watched to its end: so that the runs started in it are told of at once, and handles know. Only a short cut: runs
 * that nobody was told of are found by polling all the same.
 */
export function openTransactionOf(manager: EntityManager): CallerTransaction | undefined {
  const { queryRunner } = manager;
  if (!queryRunner?.isTransactionActive || queryRunner.isReleased) return undefined;
  const dataSource = queryRunner.connection as unknown as Subscribers & object;
  if (!watched.has(dataSource)) {
    watched.add(dataSource);
    dataSource.subscribers.push({
      afterTransactionCommit: (event) => over(event.queryRunner, 'committed'),
      afterTransactionRollback: (event) => over(event.queryRunner, 'rolledBack'),
    });
  }
  let transaction = open.get(queryRunner);
  if (!transaction?.isOpen) {
    transaction = new CallerTransaction(queryRunner);
    open.set(queryRunner, transaction);
  }
  return transaction;
}

function over(queryRunner: QueryRunner, how: 'committed' | 'rolledBack'): void {
  // The end of an inner transaction is that of a savepoint.
  if (queryRunner.isTransactionActive) return;
  open.get(queryRunner)?.end(how);
  open.delete(queryRunner);
}
