import { AsyncLocalStorage } from 'node:async_hooks';

import { DataSource } from 'typeorm';

import type { TestDatabase } from './database/test-database.js';

const target = new AsyncLocalStorage<TestDatabase>();

/**
 * Executes code that creates an application. Connects every PostgreSQL DataSource of the code to
 * the test's database, instead of the address in its options.
 */
export function withDataSourcesAt<T>(database: TestDatabase, code: () => Promise<T>): Promise<T> {
  redirectInitialize();
  return target.run(database, code);
}

const REDIRECTS = Symbol.for('nestjs-durable.testing.redirects');
type Initialize = ((this: DataSource) => Promise<DataSource>) & { [REDIRECTS]?: true };

/**
 * Replaces the method that connects a DataSource. Nest has no hook between the options of
 * TypeOrmModule, which may come from a factory, and the connection. Outside of `withDataSourcesAt`
 * the method does what it did before.
 */
function redirectInitialize(): void {
  const prototype = DataSource.prototype as { initialize: Initialize };
  const { initialize } = prototype;
  if (initialize[REDIRECTS]) return;
  const redirecting: Initialize = function (this: DataSource) {
    const database = target.getStore();
    if (database && this.options.type === 'postgres') redirect(this, database);
    return initialize.call(this);
  };
  redirecting[REDIRECTS] = true;
  prototype.initialize = redirecting;
}

function redirect(dataSource: DataSource, { url, name }: TestDatabase): void {
  const elsewhere = ['host', 'port', 'username', 'password', 'ssl', 'replication', 'nativeDriver'];
  const cleared = Object.fromEntries(elsewhere.map((option) => [option, undefined]));
  dataSource.setOptions({ ...cleared, url, database: name });
}
