import type { DiscoveryService } from '@nestjs/core';
import { getDataSourceToken } from '@nestjs/typeorm';

import { WorkflowClient } from '../client/client.js';
import { WorkflowConfigurationError } from '../core/errors/index.js';

// All copies of this package in the process share this set of client classes. A process may load
// several copies: ESM beside CommonJS, or one copy for each of two sets of peer dependencies.
const CLIENT_CLASSES = Symbol.for('nestjs-durable.client-classes');
const shared = globalThis as typeof globalThis & { [CLIENT_CLASSES]?: Set<WeakRef<Function>> };
const classes = (shared[CLIENT_CLASSES] ??= new Set());
classes.add(new WeakRef(WorkflowClient));

/**
 * Returns the WorkflowClient classes of the other copies of this package that have been loaded
 * until now.
 */
export function clientsOfOtherCopies(): Function[] {
  const others: Function[] = [];
  for (const reference of classes) {
    const type = reference.deref();
    if (!type) classes.delete(reference);
    else if (type !== WorkflowClient) others.push(type);
  }
  return others;
}

/**
 * Refuses an application whose default DataSource is registered under the token of another copy of
 * typeorm. The module would not find the DataSource and would connect to another database instead.
 *
 * @throws WorkflowConfigurationError when the application has such a DataSource
 */
export function refuseDataSourceOfOtherCopy(discovery: DiscoveryService): void {
  const own: unknown = getDataSourceToken();
  const isForeign = discovery.getProviders().some(({ token }) => token !== own && isDataSourceClass(token));
  if (!isForeign) return;
  throw new WorkflowConfigurationError(
    'the application has a TypeORM DataSource of another copy of @nestjs/typeorm or typeorm than WorkflowModule uses, and the module cannot see it. ' +
      'Install one version of both (npm ls typeorm @nestjs/typeorm), or name the database that holds the runs: connection: { url }',
  );
}

/** Recognizes a DataSource class by its methods, because a bundler may have renamed the class. */
function isDataSourceClass(token: unknown): boolean {
  const prototype: unknown = typeof token === 'function' ? token.prototype : undefined;
  if (typeof prototype !== 'object' || prototype === null) return false;
  const methods = ['initialize', 'createQueryRunner', 'getRepository', 'runMigrations', 'synchronize'];
  return methods.every((method) => typeof Object.getOwnPropertyDescriptor(prototype, method)?.value === 'function');
}
