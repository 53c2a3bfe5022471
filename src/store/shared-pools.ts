import type { Database } from './database.js';

/** Pools by the object through which an optional entry of the package finds them. */
const pools = new WeakMap<object, Database>();

/** Lets optional entries of the package use a pool. */
export function sharePool(owner: object, database: Database): void {
  pools.set(owner, database);
}

/** Returns the pool of an object; undefined for an object of another copy of the package. */
export function poolOf(owner: object): Database | undefined {
  return pools.get(owner);
}
