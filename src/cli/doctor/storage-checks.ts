import {
  findLongTransactions,
  findPreparedTransactions,
  findUnusedSlots,
  readIndexSizes,
  readSynchronousState,
  readTableStates,
} from '../../store/sql/inspect-storage.js';
import { seesAllActivity } from '../../store/sql/inspect-server.js';
import type { Connection } from '../connection.js';
import { duration } from '../times.js';
import { error, ok, warn, type Check, type Finding } from './finding.js';

/** Dead rows from which a table counts as neglected, if they are also a fifth of its rows. */
const MANY_DEAD_ROWS = 10_000;
const DEAD_SHARE = 0.2;

/** Size in bytes from which an index counts as bloated, if each of its entries takes that many. */
const LARGE_INDEX_BYTES = 16 << 20;
const LARGE_ENTRY_BYTES = 500;

/** Transactions without a freeze, from which a table needs attention. PostgreSQL stops at 2^31. */
const OLD_AGE = 1_000_000_000;

const LONG_TRANSACTION_MS = 10 * 60_000;

/** Checks of tables, indexes, and what keeps vacuum and commits from going on. */
export const storageChecks: readonly Check[] = [
  { subject: 'dead rows', needsSchema: true, run: checkTables },
  { subject: 'the sizes of indexes', needsSchema: true, run: checkIndexSizes },
  { subject: 'long transactions', needsSchema: false, run: checkTransactions },
  { subject: 'replication', needsSchema: false, run: checkReplication },
];

async function checkTables({ database }: Connection): Promise<Finding[]> {
  const tables = await readTableStates(database);
  const findings = tables.flatMap(({ name, liveRows, deadRows, hasAutovacuum, age }) => {
    const found: Finding[] = [];
    if (deadRows >= MANY_DEAD_ROWS && deadRows >= DEAD_SHARE * (liveRows + deadRows)) {
      const text = `${name} has ${whole(deadRows)} dead rows beside ${whole(liveRows)} live ones.`;
      found.push(warn('DEAD_ROWS', text, 'End what holds vacuum back (LONG_TRANSACTION, UNUSED_SLOT), then VACUUM the table.'));
    }
    if (!hasAutovacuum)
      found.push(warn('TABLE_AUTOVACUUM_OFF', `autovacuum is off for ${name}.`, 'ALTER TABLE ... RESET (autovacuum_enabled).'));
    if (age > OLD_AGE)
      found.push(
        error(
          'FREEZE_OVERDUE',
          `${name} was not frozen for ${whole(age)} transactions.`,
          'VACUUM (FREEZE) the table before the server refuses writes.',
        ),
      );
    return found;
  });
  if (findings.length > 0) return findings;
  const bytes = tables.reduce((sum, table) => sum + table.bytes, 0);
  return [ok('TABLES_CLEAN', `The tables take ${megabytes(bytes)}, and vacuum keeps up.`)];
}

async function checkIndexSizes({ database }: Connection): Promise<Finding[]> {
  const bloated = (await readIndexSizes(database)).filter(
    ({ bytes, entries }) => bytes >= LARGE_INDEX_BYTES && bytes / Math.max(1, entries) > LARGE_ENTRY_BYTES,
  );
  if (bloated.length === 0) return [ok('INDEXES_COMPACT', 'No index is much larger than its entries.')];
  return bloated.map(({ name, bytes, entries }) =>
    warn('INDEX_BLOATED', `${name} takes ${megabytes(bytes)} for about ${whole(entries)} entries.`, `REINDEX INDEX CONCURRENTLY ${name}.`),
  );
}

async function checkTransactions({ database }: Connection): Promise<Finding[]> {
  const long = await findLongTransactions(database, LONG_TRANSACTION_MS);
  const prepared = await findPreparedTransactions(database, LONG_TRANSACTION_MS);
  const findings = long.map(({ pid, application, role, state, ageMs }) =>
    warn(
      'LONG_TRANSACTION',
      `Process ${pid} of the server ("${application}", role "${role}", ${state}) has a transaction open for ${duration(ageMs)}: vacuum removes no newer dead rows.`,
      `End it in the application, or SELECT pg_terminate_backend(${pid}).`,
    ),
  );
  findings.push(
    ...prepared.map((gid) =>
      warn('PREPARED_TRANSACTION', `The prepared transaction "${gid}" is open.`, 'COMMIT PREPARED or ROLLBACK PREPARED it.'),
    ),
  );
  if (findings.length > 0) return findings;
  const all = await seesAllActivity(database);
  const seen = all ? '' : ' that this role sees: GRANT pg_read_all_stats shows those of other roles';
  return [ok('NO_LONG_TRANSACTION', `No transaction has been open for ${duration(LONG_TRANSACTION_MS)}${seen}.`)];
}

async function checkReplication({ database }: Connection): Promise<Finding[]> {
  const findings: Finding[] = (await findUnusedSlots(database)).map((name) =>
    warn(
      'UNUSED_SLOT',
      `Nobody reads from the replication slot "${name}": the server keeps WAL or dead rows for it.`,
      `Let its reader connect, or SELECT pg_drop_replication_slot('${name}').`,
    ),
  );
  const { names, standbys } = await readSynchronousState(database);
  if (names !== '' && standbys === 0) {
    findings.push(
      error(
        'SYNCHRONOUS_STANDBY_AWAY',
        'Commits wait for a synchronous standby, and none is connected.',
        'Bring the standby back, or change synchronous_standby_names.',
      ),
    );
  }
  return findings.length > 0
    ? findings
    : [ok('REPLICATION_FINE', 'No replication slot is unused, and no commit waits for an absent standby.')];
}

function whole(count: number): string {
  return Math.round(count).toLocaleString('en-US');
}

function megabytes(bytes: number): string {
  return `${(bytes / (1 << 20)).toLocaleString('en-US', { maximumFractionDigits: 1 })} MiB`;
}
