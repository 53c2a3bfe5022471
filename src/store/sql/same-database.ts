import type { EntityManager } from 'typeorm';

import type { Database, Statement } from '../database.js';
import { SERVER } from './server-identity.js';

/**
 * Reads the identity of the database that a connection leads to. The server's start time
 * distinguishes two servers that have a database with the same name.
 */
const IDENTITY = `SELECT current_database()::text AS database, ${SERVER} AS started`;

const IDENTITY_STATEMENT: Statement = { name: 'durable_identity', text: () => IDENTITY };

/** True when the manager's connection and the module's pool lead to the same database. */
export async function isSameDatabase(database: Database, manager: EntityManager): Promise<boolean> {
  const [theirs] = await manager.query<{ database: string; started: string }[]>(IDENTITY);
  const [ours] = await database.query<[string, string]>(IDENTITY_STATEMENT, []);
  return theirs!.database === ours![0] && theirs!.started === ours![1];
}
