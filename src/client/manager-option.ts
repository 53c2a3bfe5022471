import type { EntityManager } from 'typeorm';

/** Which transaction a call joins: the given one; `'none'`; when absent the ambient one, if there is one. */
export type ManagerOption = EntityManager | 'none' | undefined;
