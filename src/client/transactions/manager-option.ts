// These types are public, and an application may compile them without the types of pg. An import
// from caller-transactions.ts would need the types of pg.
import type { EntityManager } from 'typeorm';

/**
 * Transaction that a call joins: the transaction of the given manager, or no transaction for
 * `'none'`. (default: the transaction that the module's `currentTransaction` returns, if any)
 */
export type ManagerOption = EntityManager | 'none' | undefined;
