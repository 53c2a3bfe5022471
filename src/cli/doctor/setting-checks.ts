import { readConnectionUse, readSettings } from '../../store/sql/inspect-server.js';
import type { Connection } from '../connection.js';
import { duration } from '../times.js';
import { error, ok, warn, type Check, type Finding } from './finding.js';

/** Connections that a process of the module may open: see docs/connections.md. */
const PER_PROCESS = 10;

/** Shortest timeout, in milliseconds, that leaves the module's statements alone. */
const SHORT_TIMEOUT_MS = 5_000;

/** Checks of settings of the server, the database and the role. */
export const settingChecks: readonly Check[] = [
  { subject: 'connections', needsSchema: false, run: checkConnections },
  { subject: 'settings', needsSchema: false, run: checkSettings },
];

async function checkConnections({ database }: Connection): Promise<Finding[]> {
  const use = await readConnectionUse(database);
  const limits = [
    { what: 'the server', used: use.used, limit: use.available, raise: 'Raise max_connections' },
    { what: `the role "${use.role}"`, used: use.usedByRole, limit: use.roleLimit, raise: 'Raise the CONNECTION LIMIT of the role' },
    { what: 'the database', used: use.usedByDatabase, limit: use.databaseLimit, raise: 'Raise the CONNECTION LIMIT of the database' },
  ];
  const findings = limits.flatMap(({ what, used, limit, raise }): Finding[] => {
    if (limit === null || limit - used >= PER_PROCESS) return [];
    const text = `${used} of the ${limit} connections that ${what} grants are in use: too few are left for another process, which takes up to ${PER_PROCESS}.`;
    return [warn('CONNECTIONS_SCARCE', text, `${raise}, lower connection.poolSize, or use a pooler.`)];
  });
  if (findings.length > 0) return findings;
  return [
    ok(
      'CONNECTIONS_LEFT',
      `${use.used} of ${use.available} connections of the server are in use; a process of the module takes up to ${PER_PROCESS}.`,
    ),
  ];
}

interface SettingRule {
  readonly name: string;
  readonly isBad: (value: string) => boolean;
  readonly find: (value: string) => Finding;
}

const isOff = (value: string): boolean => value === 'off';
const isShort = (value: string): boolean => Number(value) > 0 && Number(value) < SHORT_TIMEOUT_MS;

const RULES: readonly SettingRule[] = [
  {
    name: 'default_transaction_read_only',
    isBad: (value) => value === 'on',
    find: () =>
      error(
        'READ_ONLY',
        'Transactions of this role or database are read-only by default.',
        'ALTER ROLE ... RESET default_transaction_read_only, or ALTER DATABASE.',
      ),
  },
  {
    name: 'synchronous_commit',
    isBad: isOff,
    find: () =>
      warn(
        'COMMITS_NOT_DURABLE',
        'synchronous_commit is off: a crash of the server loses commits that were reported.',
        'ALTER ROLE ... SET synchronous_commit = on.',
      ),
  },
  {
    name: 'fsync',
    isBad: isOff,
    find: () =>
      warn('FSYNC_OFF', 'fsync is off: a crash of the machine can destroy the database.', 'Turn fsync on, unless the data may be lost.'),
  },
  {
    name: 'full_page_writes',
    isBad: isOff,
    find: () =>
      warn(
        'FULL_PAGE_WRITES_OFF',
        'full_page_writes is off: a crash of the machine can destroy pages.',
        'Turn full_page_writes on, unless the data may be lost.',
      ),
  },
  {
    name: 'autovacuum',
    isBad: isOff,
    find: () => error('AUTOVACUUM_OFF', 'autovacuum is off: tables and indexes grow without end.', 'Turn autovacuum on.'),
  },
  {
    name: 'track_counts',
    isBad: isOff,
    find: () =>
      error('TRACK_COUNTS_OFF', 'track_counts is off: autovacuum does not find out which tables need it.', 'Turn track_counts on.'),
  },
  {
    name: 'track_activities',
    isBad: isOff,
    find: () => warn('TRACK_ACTIVITIES_OFF', 'track_activities is off: nobody sees which query is running.', 'Turn track_activities on.'),
  },
  {
    name: 'statement_timeout',
    isBad: isShort,
    find: (value) =>
      warn(
        'STATEMENT_TIMEOUT',
        `statement_timeout of this role is ${duration(Number(value))}: the server cancels writes that wait for a lock.`,
        `Set it to ${duration(SHORT_TIMEOUT_MS)} or more for the role of the application.`,
      ),
  },
  {
    name: 'idle_in_transaction_session_timeout',
    isBad: isShort,
    find: (value) =>
      warn(
        'IDLE_TIMEOUT',
        `idle_in_transaction_session_timeout is ${duration(Number(value))}: the server may close connections between two statements of the module.`,
        `Set it to ${duration(SHORT_TIMEOUT_MS)} or more for the role of the application.`,
      ),
  },
  {
    name: 'transaction_timeout',
    isBad: isShort,
    find: (value) =>
      warn(
        'TRANSACTION_TIMEOUT',
        `transaction_timeout is ${duration(Number(value))}: the server may close connections in the middle of a takeover.`,
        `Set it to ${duration(SHORT_TIMEOUT_MS)} or more for the role of the application.`,
      ),
  },
];

async function checkSettings({ database }: Connection): Promise<Finding[]> {
  const settings = await readSettings(
    database,
    RULES.map(({ name }) => name),
  );
  const findings = RULES.flatMap(({ name, isBad, find }) => {
    const value = settings.get(name);
    return value !== undefined && isBad(value) ? [find(value)] : [];
  });
  return findings.length > 0 ? findings : [ok('SETTINGS_FIT', 'The settings of the server and the role suit the module.')];
}
