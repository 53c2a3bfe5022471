import type pg from 'pg';

/** Prefix of the names of all test databases. */
export const DATABASE_PREFIX = 'durable_test_run_';

/** Largest number of leftover databases that one process drops. */
const MAX_DROPPED = 50;

/** Condition that takes the advisory lock of a database, by its name in `$1`. */
const LOCK = 'hashtextextended($1::text, 1)';

/**
 * Returns the id of the database to which `admin` is connected. An advisory lock belongs to that
 * database, and processes with connections to other databases do not see the lock.
 */
export async function lockSpaceOf(admin: pg.Client): Promise<string> {
  const { rows } = await admin.query<{ id: string }>(
    'SELECT oid::text AS id FROM pg_catalog.pg_database WHERE datname = current_database()',
  );
  return rows[0]!.id;
}

/** Takes the lock that marks a database as used. The server releases it when the process ends. */
export async function markUsed(admin: pg.Client, database: string): Promise<void> {
  await admin.query(`SELECT pg_advisory_lock(${LOCK})`, [database]);
}

/** Releases the lock that marks a database as used. */
export async function unmarkUsed(admin: pg.Client, database: string): Promise<void> {
  await admin.query(`SELECT pg_advisory_unlock(${LOCK})`, [database]);
}

/**
 * Drops the databases of processes that have ended without closing their tests.
 *
 * @param prefix prefix of the names of databases whose locks `admin` sees
 * @param limit largest number of databases to drop (default: 50)
 */
export async function dropLeftovers(admin: pg.Client, prefix: string, limit = MAX_DROPPED): Promise<void> {
  const { rows } = await admin.query<{ datname: string }>(
    'SELECT datname FROM pg_catalog.pg_database WHERE starts_with(datname, $1) ORDER BY oid',
    [prefix],
  );
  let dropped = 0;
  for (const { datname } of rows) {
    if (dropped === limit) return;
    const { rows: locked } = await admin.query<{ free: boolean }>(`SELECT pg_try_advisory_lock(${LOCK}) AS free`, [datname]);
    if (!locked[0]!.free) continue;
    await dropDatabase(admin, datname).then(
      () => dropped++,
      () => undefined,
    );
    await unmarkUsed(admin, datname);
  }
}

export async function dropDatabase(admin: pg.Client, database: string): Promise<void> {
  await admin.query(`DROP DATABASE IF EXISTS ${admin.escapeIdentifier(database)} WITH (FORCE)`);
}
