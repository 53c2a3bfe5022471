import type { Database } from '../database.js';
import { SERVER, type Server } from '../server-check.js';

/** Reads the version of the server, and the name and encoding of the database. */
export async function readServer(database: Database): Promise<Server> {
  const [row] = await database.read<[string, number, string, string]>(SERVER, []);
  const [version, major, name, encoding] = row!;
  return { version, major, database: name, encoding };
}

/**
 * Reads settings as they apply to this connection.
 *
 * @returns the values by name. Times are in milliseconds, without their unit. A setting that this
 * version of the server does not have is missing
 */
export async function readSettings(database: Database, names: readonly string[]): Promise<Map<string, string>> {
  const rows = await database.read<[string, string]>(
    // The reading pool sets its own statement_timeout, so the default of the role is read instead.
    `SELECT name, CASE WHEN name = 'statement_timeout' THEN reset_val ELSE setting END FROM pg_catalog.pg_settings WHERE name = ANY ($1::text[])`,
    [names],
  );
  return new Map(rows);
}

/** Use of the connections that the server grants. */
export interface ConnectionUse {
  readonly role: string;
  /** Connections of clients, of all databases of the server. */
  readonly used: number;
  /** Connections that the server grants to ordinary roles. */
  readonly available: number;
  /** Connections of this role. */
  readonly usedByRole: number;
  /** Limit of this role; null without one. */
  readonly roleLimit: number | null;
  /** Connections to this database. */
  readonly usedByDatabase: number;
  /** Limit of this database; null without one. */
  readonly databaseLimit: number | null;
}

/** Reads how many connections are in use, and how many are allowed. */
export async function readConnectionUse(database: Database): Promise<ConnectionUse> {
  const [row] = await database.read<[string, number, number, number, number, number, number]>(
    `SELECT current_user::text,
  (SELECT count(*)::int FROM pg_catalog.pg_stat_activity WHERE backend_type = 'client backend'),
  current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int
    - coalesce(current_setting('reserved_connections', true), '0')::int,
  (SELECT count(*)::int FROM pg_catalog.pg_stat_activity WHERE backend_type = 'client backend' AND usename = current_user), r.rolconnlimit,
  (SELECT count(*)::int FROM pg_catalog.pg_stat_activity WHERE backend_type = 'client backend' AND datname = current_database()), d.datconnlimit
FROM pg_catalog.pg_roles r, pg_catalog.pg_database d WHERE r.rolname = current_user AND d.datname = current_database()`,
    [],
  );
  const [role, used, available, usedByRole, roleLimit, usedByDatabase, databaseLimit] = row!;
  const limitOf = (limit: number): number | null => (limit < 0 ? null : limit);
  return { role, used, available, usedByRole, roleLimit: limitOf(roleLimit), usedByDatabase, databaseLimit: limitOf(databaseLimit) };
}

/** True when the role sees the transactions of other roles. */
export async function seesAllActivity(database: Database): Promise<boolean> {
  const [row] = await database.read<[boolean]>(`SELECT pg_catalog.pg_has_role(current_user, 'pg_read_all_stats', 'USAGE')`, []);
  return row![0];
}
