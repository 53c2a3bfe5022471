import { Socket } from 'node:net';

import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { DataSource } from 'typeorm';

import { hasOpenSsl, startTlsServer, type TlsServer } from '../../test/support/tls-server.js';
import { waitFor } from '../../test/support/wait.js';
import { settingsOfDataSource } from './connection-settings.js';
import { Database } from './database.js';
import { createOrm } from './orm.js';

/** Properties of a connection as its server sees them. */
const ASK = `SELECT current_user::text AS "user", current_database()::text AS database, inet_server_port()::text AS port, application_name AS name,
  current_setting('search_path') AS path, (SELECT ssl::text FROM pg_stat_ssl WHERE pid = pg_backend_pid()) AS ssl
FROM pg_stat_activity WHERE pid = pg_backend_pid()`;

type Seen = Record<'user' | 'database' | 'port' | 'name' | 'path' | 'ssl', string>;
type Options = Record<string, unknown>;
type Outcome = Seen | 'refused';

/**
 * Settings of a DataSource and of `extra`. TypeORM's precedence decides, and the module must follow
 * it.
 */
const CASES: [string, (to: Target) => Options][] = [
  ['parts', (to) => to.parts],
  ['url', (to) => ({ url: to.url })],
  ['url beside other parts', (to) => ({ ...to.parts, host: 'nowhere.invalid', username: 'nobody', url: to.url })],
  ['ssl: true', (to) => ({ ...to.parts, ssl: true })],
  ['ssl with ca', (to) => ({ ...to.parts, ssl: { ca: to.ca } })],
  ['ssl with ca, another name', (to) => ({ ...to.parts, host: '127.0.0.1', ssl: { ca: to.ca } })],
  ['ssl without verification', (to) => ({ ...to.parts, ssl: { rejectUnauthorized: false } })],
  ['extra.ssl alone', (to) => ({ ...to.parts, extra: { ssl: { rejectUnauthorized: false } } })],
  ['ssl: false, extra.ssl with ca', (to) => ({ ...to.parts, ssl: false, extra: { ssl: { ca: to.ca } } })],
  ['ssl: true, extra.ssl without verification', (to) => ({ ...to.parts, ssl: true, extra: { ssl: { rejectUnauthorized: false } } })],
  ['ssl with ca, extra.ssl: false', (to) => ({ ...to.parts, ssl: { ca: to.ca }, extra: { ssl: false } })],
  ['ssl with ca, extra.ssl: undefined', (to) => ({ ...to.parts, ssl: { ca: to.ca }, extra: { ssl: undefined } })],
  ...['disable', 'allow', 'prefer', 'require', 'no-verify', 'verify-ca', 'verify-full', 'misspelt'].flatMap(
    (mode): [string, (to: Target) => Options][] => [
      [`sslmode=${mode}`, (to) => ({ url: `${to.url}?sslmode=${mode}` })],
      [`sslmode=${mode} with sslrootcert`, (to) => ({ url: `${to.url}?sslmode=${mode}&sslrootcert=${to.caFile}` })],
      [`sslmode=${mode} of libpq`, (to) => ({ url: `${to.url}?uselibpqcompat=true&sslmode=${mode}` })],
      [`sslmode=${mode} beside ssl: true`, (to) => ({ url: `${to.url}?sslmode=${mode}`, ssl: true })],
      [`sslmode=${mode} beside ssl with ca`, (to) => ({ url: `${to.url}?sslmode=${mode}`, ssl: { ca: to.ca } })],
    ],
  ),
  ['ssl=true in the url', (to) => ({ url: `${to.url}?ssl=true` })],
  ['ssl=no-verify in the url', (to) => ({ url: `${to.url}?ssl=no-verify` })],
  ['ssl=0 in the url', (to) => ({ url: `${to.url}?ssl=0` })],
  ['a password function', (to) => ({ ...to.parts, password: async () => to.password })],
  ['a wrong password, extra.password as a function', (to) => ({ ...to.parts, password: 'wrong', extra: { password: () => to.password } })],
  ['extra.password that is wrong', (to) => ({ ...to.parts, extra: { password: 'wrong' } })],
  ['extra.host', (to) => ({ ...to.parts, host: 'nowhere.invalid', extra: { host: 'localhost' } })],
  ['extra.port', (to) => ({ ...to.parts, port: 1, extra: { port: to.parts['port'] } })],
  ['extra.user', (to) => ({ ...to.parts, username: 'nobody', extra: { user: to.parts['username'] } })],
  ['extra.database', (to) => ({ ...to.parts, extra: { database: 'template1' } })],
  ['extra.connectionString', (to) => ({ ...to.parts, host: 'nowhere.invalid', extra: { connectionString: to.url } })],
  ['applicationName', (to) => ({ ...to.parts, applicationName: 'shop' })],
  ['applicationName, extra.application_name', (to) => ({ ...to.parts, applicationName: 'shop', extra: { application_name: 'other' } })],
  ['application_name in the url', (to) => ({ url: `${to.url}?application_name=shop` })],
  ['extra.options', (to) => ({ ...to.parts, extra: { options: '-c search_path=app' } })],
  ['options in the url', (to) => ({ url: `${to.url}?options=-c%20search_path%3Dapp` })],
  ['options in both', (to) => ({ url: `${to.url}?options=-c%20search_path%3Durl`, extra: { options: '-c search_path=extra' } })],
  ['extra.stream', (to) => ({ ...to.parts, extra: { stream: () => new Socket() } })],
  ['replication', (to) => ({ replication: { master: { ...to.parts, ssl: { ca: to.ca } }, slaves: [to.parts] } })],
  ['replication with urls', (to) => ({ replication: { master: { url: `${to.url}?sslmode=no-verify` }, slaves: [] } })],
  ['replication with extra', (to) => ({ replication: { master: to.parts, slaves: [] }, extra: { ssl: { ca: to.ca } } })],
  ['several hosts', (to) => ({ ...to.parts, host: 'localhost,127.0.0.1' })],
  ['poolSize, extra.max', (to) => ({ ...to.parts, poolSize: 1, extra: { max: 1, min: 1, maxUses: 1 } })],
  ['connectTimeoutMS', (to) => ({ ...to.parts, connectTimeoutMS: 5_000 })],
];

interface Target {
  readonly parts: Options;
  readonly url: string;
  readonly password: string;
  readonly ca: string;
  readonly caFile: string;
}

(hasOpenSsl ? describe : describe.skip)("with the settings of an application's DataSource", () => {
  let server: TlsServer;
  let to: Target;
  beforeAll(async () => {
    server = await startTlsServer();
    const { hostname: host, port, username, pathname, password } = new URL(server.url);
    const parts = { host, port: Number(port), username, password: decodeURIComponent(password), database: pathname.slice(1) };
    to = { parts, url: server.url, password: parts.password, ca: server.ca, caFile: server.caFile };
    // The server reloads its certificate a moment after the reload was requested.
    await waitFor(async () => (await asApplication({ ...parts, ssl: { ca: server.ca } })) !== 'refused');
  });
  afterAll(() => server.stop());

  const asApplication = async (options: Options): Promise<Outcome> => {
    const dataSource = new DataSource({ type: 'postgres', ...options });
    try {
      await dataSource.initialize();
      return (await dataSource.query<Seen[]>(ASK))[0]!;
    } catch {
      return 'refused';
    } finally {
      if (dataSource.isInitialized) await dataSource.destroy();
    }
  };
  /** Runs the same query on each kind of connection of the module. */
  const asModule = async (options: Options): Promise<Outcome[]> => {
    const given = new DataSource({ type: 'postgres', ...options });
    let settings;
    try {
      settings = settingsOfDataSource(given);
    } catch {
      return ['refused'];
    }
    const database = new Database(settings, { poolSize: 1 });
    const orm = createOrm(settings, 'durable');
    const direct = database.directClient();
    const names = ['user', 'database', 'port', 'name', 'path', 'ssl'] as const;
    const toSeen = ([row]: unknown[][]): Seen => Object.fromEntries(names.map((name, index) => [name, row![index]])) as Seen;
    const asked: (() => Promise<Seen>)[] = [
      async () => toSeen(await database.query({ name: 'ask', text: () => ASK }, [])),
      async () => toSeen(await database.read(ASK, [])),
      async () => (await direct.connect()).query<Seen>(ASK).then(({ rows }) => rows[0]!),
      async () => (await orm.initialize()).query<Seen[]>(ASK).then(([row]) => row!),
    ];
    try {
      return await Promise.all(asked.map((ask) => ask().catch((): Outcome => 'refused')));
    } finally {
      await Promise.all([direct.end(), database.close(), orm.isInitialized && orm.destroy()]);
    }
  };

  it.each(CASES)("every connection of the module has the settings of the DataSource's connection: %s", async (_, options) => {
    const expected = await asApplication(options(to));
    const seen = await asModule(options(to));
    for (const each of seen) {
      if (expected === 'refused' || each === 'refused') expect(each).toBe(expected);
      else expect({ ...each, name: expected.name === '' ? '' : each.name }).toEqual(expected);
    }
  });
});

describe('the connection timeout', () => {
  it.each([
    [undefined, 10_000],
    [0, 10_000],
    [500, 10_000],
    [30_000, 30_000],
  ])('follows connectTimeoutMS of the application, but is at least 10 s: connectTimeoutMS %s', (connectTimeoutMS, expected) => {
    const settings = settingsOfDataSource(new DataSource({ type: 'postgres', url: 'postgres://localhost/x', connectTimeoutMS }));
    expect(settings.connectionTimeoutMillis).toBe(expected);
  });
});
