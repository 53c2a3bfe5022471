import pg from 'pg';
import type { DataSource } from 'typeorm';

import { InvalidInputError, WorkflowConfigurationError } from '../core/errors/index.js';

/** Settings of a connection to the database, named as in `pg`. */
export type ConnectionSettings = pg.ClientConfig;

type Ssl = NonNullable<pg.ClientConfig['ssl']>;

/**
 * Shortest time limit for making a connection, in milliseconds. The application can only set a
 * longer limit. A pool applies the limit to the wait for a free connection too. With a shorter
 * limit, statements would fail while all connections are busy.
 */
const CONNECT_TIMEOUT_MS = 10_000;

/**
 * Settings whose values pg itself determines from the URL, the other settings and the environment.
 */
const RESOLVED = ['host', 'port', 'user', 'password', 'database', 'ssl', 'sslnegotiation', 'options', 'application_name'] as const;

/**
 * Further settings of the application's connection that the module's connections also use. The list
 * leaves out timeouts, type parsers, `binary` and `pipeline`, because the application's values do
 * not fit the module's statements.
 */
const PASSED_ON = [
  'stream',
  'keepAlive',
  'keepAliveInitialDelayMillis',
  'enableChannelBinding',
  'scramMaxIterations',
  'maxLifetimeSeconds',
] as const;

/** URL parameters that determine how the connection is encrypted. */
const TLS_PARAMETERS = ['ssl', 'sslmode', 'sslcert', 'sslkey', 'sslrootcert', 'sslnegotiation'];

/**
 * Resolves settings once, by pg's own rules: a URL wins over the other settings, and PG* variables
 * supply missing values. The result contains no URL, which would override settings that the module
 * adds later. Resolving the result again returns the same settings.
 *
 * @throws the error of pg for a URL that pg cannot read, and WorkflowConfigurationError for several
 * hosts
 */
export function resolveSettings(given: pg.ClientConfig): ConnectionSettings {
  const known = parametersOf(given);
  const settings: Record<string, unknown> = {};
  for (const key of RESOLVED) if (known[key] !== undefined && known[key] !== null) settings[key] = known[key];
  for (const key of PASSED_ON) {
    const value = (given as Record<string, unknown>)[key];
    if (value !== undefined) settings[key] = value;
  }
  settings['connectionTimeoutMillis'] = Math.max(CONNECT_TIMEOUT_MS, given.connectionTimeoutMillis ?? 0);
  const { host } = settings as ConnectionSettings;
  if (host?.includes(',') && !host.startsWith('/')) {
    throw new WorkflowConfigurationError(
      `the database's address names several hosts (${host}); pg connects to only one: name one host, or a proxy in front of them`,
    );
  }
  return settings;
}

/**
 * Resolves the settings of a URL and of the separate option `ssl`. The option wins over the TLS
 * parameters in the URL.
 *
 * @throws InvalidInputError when the URL and the option contradict each other, and the error of pg
 * for a URL that pg cannot read
 */
export function settingsOfUrl(url: string, ssl?: Ssl): ConnectionSettings {
  const settings = resolveSettings({ connectionString: url });
  if (ssl === undefined) return settings;
  const { sslnegotiation, ...rest } = settings;
  return {
    ...rest,
    ssl: speaksOfTls(url) ? combineTls(settings.ssl ?? false, ssl, url) : ssl,
    ...(ssl !== false && sslnegotiation !== undefined ? { sslnegotiation } : {}),
  };
}

/**
 * Resolves the settings of a second address of the same database, for example one that bypasses a
 * pooler. `settings`, which belong to the first address, supply what `url` leaves out: the user,
 * the password (which may be a function), the database and TLS.
 */
export function settingsPast(settings: ConnectionSettings, url: string): ConnectionSettings {
  const own = resolveSettings({ connectionString: url });
  const { username, password } = new URL(url.replace('@/', '@localhost/'), 'postgres://localhost');
  const inherited: ConnectionSettings = {};
  if (username === '' && !hasParameter(url, ['user']) && settings.user !== undefined) inherited.user = settings.user;
  if (password === '' && !hasParameter(url, ['password']) && settings.password !== undefined) inherited.password = settings.password;
  if (!speaksOfTls(url) && settings.ssl !== undefined) inherited.ssl = settings.ssl;
  const {
    host: _host,
    port: _port,
    user: _user,
    password: _password,
    ssl: _ssl,
    sslnegotiation: _negotiation,
    options: _options,
    ...rest
  } = settings;
  return { ...rest, ...own, ...inherited };
}

/**
 * Resolves the settings with which the pool of the application's DataSource connects. Combines them
 * as TypeORM does: `extra` wins over the other options.
 *
 * @throws WorkflowConfigurationError when the DataSource is not of type postgres
 */
export function settingsOfDataSource({ options }: DataSource): ConnectionSettings {
  if (options.type !== 'postgres') {
    throw new WorkflowConfigurationError(
      `the application's DataSource is of type "${options.type}"; workflows need one of type "postgres", or a "connection" of their own`,
    );
  }
  const { url, host, port, username, password, database, ssl, applicationName } = options.replication?.master ?? options;
  return resolveSettings({
    connectionString: url,
    host,
    port,
    user: username,
    password,
    database,
    ssl,
    connectionTimeoutMillis: options.connectTimeoutMS,
    application_name: options.applicationName ?? applicationName,
    ...(options.extra as pg.ClientConfig | undefined),
  } as pg.ClientConfig);
}

/**
 * Reads the settings as pg does, by creating a client. The client never connects, so it opens no
 * socket.
 */
function parametersOf(given: pg.ClientConfig): Record<string, unknown> {
  const client = new pg.Client({ ...given, stream: undefined });
  return (client as unknown as { connectionParameters: Record<string, unknown> }).connectionParameters;
}

function hasParameter(url: string, names: readonly string[]): boolean {
  const query = new URLSearchParams(url.split('?').slice(1).join('?'));
  return names.some((name) => query.has(name));
}

function speaksOfTls(url: string): boolean {
  return hasParameter(url, TLS_PARAMETERS);
}

function combineTls(inUrl: Ssl, option: Ssl, url: string): Ssl {
  const contradiction = (what: string): InvalidInputError =>
    new InvalidInputError('connection.ssl', `contradicts the URL: ${what}. Remove one of them`);
  if (option === false) {
    if (inUrl === false) return false;
    throw contradiction('the option turns TLS off, and the URL requires it');
  }
  if (inUrl === false) throw contradiction('the option requires TLS, and the URL turns it off');
  const fromUrl = typeof inUrl === 'object' ? inUrl : {};
  if (option === true) return fromUrl.rejectUnauthorized === false ? true : inUrl;
  if (option.rejectUnauthorized === false && /[?&]sslmode=verify-(ca|full)/i.test(url)) {
    throw contradiction('the option accepts any certificate, and the URL requires its verification');
  }
  // pg makes the private key non-enumerable, so `files` does not contain the key. It is added
  // separately.
  const { rejectUnauthorized: _rejectUnauthorized, ...files } = fromUrl;
  const key = option.key ?? fromUrl.key;
  return { ...files, ...option, ...(key === undefined ? {} : { key }) };
}
