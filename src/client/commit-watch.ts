import type { EntityManager, EntitySubscriberInterface, QueryRunner } from 'typeorm';

type Subscribers = { subscribers: EntitySubscriberInterface[] };

const watched = new WeakSet<object>();
const pending = new WeakMap<QueryRunner, (() => void)[]>();

/** The query runner of a manager that is in a transaction. */
export function openTransactionOf(manager: EntityManager): QueryRunner | undefined {
  const { queryRunner } = manager;
  return queryRunner?.isTransactionActive && !queryRunner.isReleased ? queryRunner : undefined;
}

/**
 * Calls back after the transaction has been committed; never when it is rolled back. Only a short cut: runs that nobody was told of are found by
 * polling all the same.
 */
export function afterCommit(queryRunner: QueryRunner, callback: () => void): void {
  const dataSource = queryRunner.connection as unknown as Subscribers & object;
  if (!watched.has(dataSource)) {
    watched.add(dataSource);
    dataSource.subscribers.push({
      afterTransactionCommit: ({ queryRunner: committed }) => {
        // The end of an inner transaction is a savepoint, not a commit.
        if (!committed.isTransactionActive) flush(committed);
      },
      afterTransactionRollback: ({ queryRunner: rolledBack }) => {
        if (!rolledBack.isTransactionActive) pending.delete(rolledBack);
      },
    });
  }
  const callbacks = pending.get(queryRunner);
  if (callbacks) callbacks.push(callback);
  else pending.set(queryRunner, [callback]);
}

function flush(queryRunner: QueryRunner): void {
  const callbacks = pending.get(queryRunner) ?? [];
  pending.delete(queryRunner);
  for (const callback of callbacks) callback();
}
