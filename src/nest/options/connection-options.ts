import type { ConnectionOptions as TlsOptions } from 'node:tls';

import { checkOptions } from '../../core/check-options.js';
import { InvalidInputError } from '../../core/errors/index.js';
import type { Pooler } from '../../core/pooler.js';
import { readDatabaseUrl } from '../../host/database-url.js';
import type { ConnectionOptions, ModuleSettings, WorkflowModuleOptions } from './module-options.js';

/**
 * Checks the option `connection`.
 *
 * @throws InvalidInputError
 */
export function checkConnection(connection: ConnectionOptions | undefined): ConnectionOptions | undefined {
  if (connection === undefined) return undefined;
  const given = checkOptions<Partial<Record<string, unknown>>>(connection, 'connection', ['url', 'ssl', 'poolSize', 'embedded']);
  if (given['embedded'] !== undefined) return { embedded: checkEmbedded(checkOptions(given, 'connection', ['embedded'])['embedded']) };
  const { url, ssl, poolSize } = given as { url: string; ssl?: boolean | TlsOptions; poolSize?: number };
  if (ssl !== undefined && typeof ssl !== 'boolean' && (typeof ssl !== 'object' || ssl === null || Array.isArray(ssl))) {
    throw new InvalidInputError('connection.ssl', 'must be a boolean or an object with options of node:tls');
  }
  readDatabaseUrl(url, 'connection.url', ssl);
  if (poolSize !== undefined && !(Number.isInteger(poolSize) && poolSize >= 3 && poolSize <= 1_000)) {
    throw new InvalidInputError('connection.poolSize', 'must be a whole number from 3 to 1,000');
  }
  return { url, ...(ssl === undefined ? {} : { ssl }), ...(poolSize === undefined ? {} : { poolSize }) };
}

type EmbeddedOptions = Extract<ConnectionOptions, { embedded: unknown }>['embedded'];

function checkEmbedded(embedded: unknown): EmbeddedOptions {
  if (embedded === true) return true;
  const given = checkOptions(embedded as Exclude<EmbeddedOptions, true>, 'connection.embedded', ['dataDir', 'allowInProduction']);
  if (typeof given.dataDir !== 'string' || given.dataDir === '' || given.dataDir.includes('\0')) {
    throw new InvalidInputError('connection.embedded.dataDir', 'must be the name of a directory');
  }
  if (![true, undefined].includes(given.allowInProduction)) {
    throw new InvalidInputError('connection.embedded.allowInProduction', 'must be true or absent');
  }
  return given;
}

/**
 * Checks the option `listen`. With a pooler, the default is `false`.
 *
 * @throws InvalidInputError
 */
export function checkListen(listen: WorkflowModuleOptions['listen'], pooler: Pooler | undefined): ModuleSettings['listen'] {
  if (pooler && listen === true) {
    throw new InvalidInputError('listen', `cannot be true with pooler: name the server's own address, { url }, or leave it out`);
  }
  if (listen === undefined || typeof listen === 'boolean') return listen ?? pooler === undefined;
  const { url } = checkOptions(listen, 'listen', ['url']);
  readDatabaseUrl(url, 'listen.url');
  return { url };
}

/**
 * Checks the option `readReplica`.
 *
 * @throws InvalidInputError
 */
export function checkReadReplica(replica: WorkflowModuleOptions['readReplica']): ModuleSettings['readReplica'] {
  if (replica === undefined) return undefined;
  const { url } = checkOptions(replica, 'readReplica', ['url']);
  readDatabaseUrl(url, 'readReplica.url');
  return { url };
}
