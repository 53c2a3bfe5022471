import type { DiscoveryService } from '@nestjs/core';
import { getDataSourceToken } from '@nestjs/typeorm';

import { WorkflowClient } from '../client/client.js';
import { WorkflowConfigurationError } from '../core/errors/index.js';

// For all copies of this package in the process: ESM beside CommonJS, or one for each of two sets of peer dependencies.
const CLIENT_CLASSES = Symbol.for('nestjs-durable.client-classes');
const shared = globalThis as typeof globalThis & { [CLIENT_CLASSES]?: Set<WeakRef<Function>> };
const classes = (shared[CLIENT_CLASSES] ??= new Set());
classes.add(new WeakRef(WorkflowClient));

/** Returns the classes that other copies of this package, loaded until now, call WorkflowClient. */
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
 * Looks for the application's default DataSource under the token of another copy of typeorm. The module would not find it, and would
 * take another database instead.
 *
 * @throws WorkflowConfigurationError when there is one
 */
export function refuseDataSourceOfOtherCopy(discovery: DiscoveryService): void {
  const own: unknown = getDataSourceToken();
  const isForeign = discovery.getProviders().some(({ token }) => token !== own && isDataSourceClass(token));
  if (!isForeign) return;
  throw new WorkflowConfigurationError(
    'the application has a TypeORM DataSource of another copy of @nestjs/typeorm or typeorm than WorkflowModule uses, and the module cannot see it. ' +
      'Install one version of both (npm ls typeorm @nestjs/typeorm), or say which database holds the runs: connection: { url }',
  );
}

/** Bundlers rename classes, so this goes by what the class has. */
function isDataSourceClass(token: unknown): boolean {
  const prototype: unknown = typeof token === 'function' ? token.prototype : undefined;
  if (typeof prototype !== 'object' || prototype === null) return false;
  const methods = ['initialize', 'createQueryRunner', 'getRepository', 'runMigrations', 'synchronize'];
  return methods.every((method) => typeof Object.getOwnPropertyDescriptor(prototype, method)?.value === 'function');
}
