import type { Database } from '../database.js';

/** Statistics of a table of the module. */
export interface TableState {
  readonly name: string;
  readonly liveRows: number;
  readonly deadRows: number;
  /** Size with indexes, in bytes. */
  readonly bytes: number;
  /** False when the table's own options turn autovacuum off. */
  readonly hasAutovacuum: boolean;
  /** Transactions since the oldest row that vacuum has not frozen. */
  readonly age: number;
}

/** Reads the statistics of the module's tables. */
export async function readTableStates(database: Database): Promise<TableState[]> {
  const rows = await database.read<[string, number, number, number, boolean, number]>(
    `SELECT c.relname, s.n_live_tup::float8, s.n_dead_tup::float8, pg_catalog.pg_total_relation_size(c.oid)::float8,
  NOT coalesce(c.reloptions && ARRAY['autovacuum_enabled=false', 'autovacuum_enabled=off', 'autovacuum_enabled=0'], false), age(c.relfrozenxid)
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace JOIN pg_catalog.pg_stat_all_tables s ON s.relid = c.oid
WHERE n.nspname = $1 AND c.relkind = 'r' AND c.relname LIKE 'workflow\\_%' ORDER BY c.relname`,
    [database.schemaName],
  );
  return rows.map(([name, liveRows, deadRows, bytes, hasAutovacuum, age]) => ({ name, liveRows, deadRows, bytes, hasAutovacuum, age }));
}

/** Size of an index, and the number of its entries by the last estimate of vacuum. */
export interface IndexSize {
  readonly name: string;
  readonly bytes: number;
  readonly entries: number;
}

/** Reads the sizes of the module's indexes. */
export async function readIndexSizes(database: Database): Promise<IndexSize[]> {
  const rows = await database.read<[string, number, number]>(
    `SELECT i.relname, pg_catalog.pg_relation_size(i.oid)::float8, greatest(i.reltuples, 0)::float8
FROM pg_catalog.pg_index x JOIN pg_catalog.pg_class i ON i.oid = x.indexrelid JOIN pg_catalog.pg_class t ON t.oid = x.indrelid
JOIN pg_catalog.pg_namespace n ON n.oid = t.relnamespace WHERE n.nspname = $1 AND t.relname LIKE 'workflow\\_%' ORDER BY i.relname`,
    [database.schemaName],
  );
  return rows.map(([name, bytes, entries]) => ({ name, bytes, entries }));
}

/** A transaction that keeps vacuum from removing dead rows. Times are in milliseconds. */
export interface LongTransaction {
  readonly pid: number;
  readonly application: string;
  readonly role: string;
  readonly state: string;
  readonly ageMs: number;
}

/**
 * Lists the oldest transactions of this database that hold a snapshot or a transaction id, oldest
 * first, at most 10. Without the role pg_read_all_stats, only those of the connected role.
 */
export async function findLongTransactions(database: Database, olderThanMs: number): Promise<LongTransaction[]> {
  const rows = await database.read<[number, string, string, string, number]>(
    `SELECT pid, application_name, coalesce(usename::text, ''), coalesce(state, ''), extract(epoch FROM now() - xact_start)::float8 * 1000
FROM pg_catalog.pg_stat_activity
WHERE datname = current_database() AND pid <> pg_catalog.pg_backend_pid() AND (backend_xmin IS NOT NULL OR backend_xid IS NOT NULL OR state LIKE 'idle in transaction%')
  AND backend_type = 'client backend' AND xact_start < now() - $1::float8 * interval '1 millisecond' ORDER BY xact_start LIMIT 10`,
    [olderThanMs],
  );
  return rows.map(([pid, application, role, state, ageMs]) => ({ pid, application, role, state, ageMs }));
}

/** Lists the ids of prepared transactions of this database that are older than this. */
export async function findPreparedTransactions(database: Database, olderThanMs: number): Promise<string[]> {
  const rows = await database.read<[string]>(
    `SELECT gid FROM pg_catalog.pg_prepared_xacts WHERE database = current_database() AND prepared < now() - $1::float8 * interval '1 millisecond'
ORDER BY prepared LIMIT 10`,
    [olderThanMs],
  );
  return rows.map(([gid]) => gid);
}

/** Lists replication slots that nobody reads from, and that keep WAL or dead rows. */
export async function findUnusedSlots(database: Database): Promise<string[]> {
  const rows = await database.read<[string]>(
    `SELECT slot_name::text FROM pg_catalog.pg_replication_slots WHERE NOT active AND (restart_lsn IS NOT NULL OR xmin IS NOT NULL) ORDER BY 1 LIMIT 10`,
    [],
  );
  return rows.map(([name]) => name);
}

/** State of synchronous replication. */
export interface SynchronousState {
  /** The setting synchronous_standby_names; empty without synchronous replication. */
  readonly names: string;
  /** Standbys for which commits wait. Null when the role may not see them. */
  readonly standbys: number | null;
}

/** Reads whether commits wait for a standby, and whether one is there. */
export async function readSynchronousState(database: Database): Promise<SynchronousState> {
  const [row] = await database.read<[string, number | null]>(
    `SELECT current_setting('synchronous_standby_names'),
  CASE WHEN pg_catalog.pg_has_role(current_user, 'pg_read_all_stats', 'USAGE')
    THEN (SELECT count(*)::int FROM pg_catalog.pg_stat_replication WHERE sync_state IN ('sync', 'quorum')) END`,
    [],
  );
  const [names, standbys] = row!;
  return { names, standbys };
}
