// Public types must not need the types of pg, as caller-transactions.ts does.
import type { EntityManager } from 'typeorm';

/**
 * Transaction that a call joins: that of the given manager, none for `'none'`, or the ambient
 * transaction (default, if there is one).
 */
export type ManagerOption = EntityManager | 'none' | undefined;
