// Public types must work without the types of pg. Importing from caller-transactions.ts would
// require them.
import type { EntityManager } from 'typeorm';

/**
 * Transaction that a call joins: the transaction of the given manager, or no transaction for
 * `'none'`. By default a call joins the ambient transaction, if there is one.
 */
export type ManagerOption = EntityManager | 'none' | undefined;
