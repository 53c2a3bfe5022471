import { describe, expect, it } from '@jest/globals';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { tmpdir } from 'node:os';

import { InvalidInputError } from '../../../src/index.js';
import { readDatabaseUrl } from '../../../src/host/database-url.js';
import { settingsPast } from '../../../src/store/connection-settings.js';

const SECRET = 'secretword';

function refusal(url: unknown, ssl?: boolean | object): InvalidInputError {
  try {
    readDatabaseUrl(url, 'DATABASE_URL', ssl);
  } catch (error) {
    return error as InvalidInputError;
  }
  throw new Error('the URL was accepted');
}

describe('the URL of a database', () => {
  it.each<[string, unknown, RegExp]>([
    ['undefined', undefined, /must be a URL/],
    ['an empty string', '', /must be a URL/],
    ['a host and no scheme', `u:${SECRET}@127.0.0.1/db`, /must be a URL/],
    ['another scheme', `mysql://u:${SECRET}@localhost/db`, /must be a URL/],
    ['NUL', `postgres://u:${SECRET}\0@localhost/db`, /must be a URL/],
    ['a percent sign before two digits in the password', `postgres://u:${SECRET}%ff@localhost/db`, /%25/],
    ['# in the password', `postgres://u:12#${SECRET}@localhost/db`, /%23/],
    ['/ in the password', `postgres://u:12/${SECRET}@localhost/db`, /%2F/],
    ['? in the password', `postgres://u:${SECRET}?x@localhost/db`, /cannot be read/],
    ['an invalid port', `postgres://u:${SECRET}@localhost:99999/db`, /cannot be read/],
    ['several hosts', `postgres://u:${SECRET}@a,b/db`, /several hosts/],
    ['several hosts with ports', `postgres://u:${SECRET}@a:1,b:2/db?target_session_attrs=read-write`, /several hosts/],
    ['several hosts in a parameter', `postgres://u:${SECRET}@/db?host=a,b`, /several hosts/],
    ['a missing certificate', `postgres://u:${SECRET}@localhost/db?sslrootcert=/nowhere/ca.crt`, /ENOENT.*\/nowhere\/ca\.crt/],
    ['a negotiation that does not exist', `postgres://u:${SECRET}@localhost/db?sslmode=require&sslnegotiation=odd`, /sslnegotiation/],
  ])('is refused by the name of its variable, without its secret: %s', (_, url, message) => {
    const error = refusal(url);
    expect(error).toBeInstanceOf(InvalidInputError);
    expect(error.argument).toBe('DATABASE_URL');
    expect(error.message).toMatch(/^DATABASE_URL /);
    expect(error.message).toMatch(message);
    expect(`${error.message}${error.stack}${JSON.stringify(error.cause)}`).not.toContain(SECRET);
  });

  it.each<[string, string, object]>([
    ['a plain URL', 'postgres://u:p@db.example:5433/shop', { host: 'db.example', port: 5433, user: 'u', password: 'p', database: 'shop' }],
    ['an upper-case scheme', 'POSTGRESQL://u:p@db.example/shop', { host: 'db.example', user: 'u', database: 'shop' }],
    ['IPv6', 'postgres://u:p@[::1]:5433/shop', { host: '::1', port: 5433 }],
    ['a socket as a parameter', 'postgres://u:p@/shop?host=/run/pg&port=5433', { host: '/run/pg', port: 5433, database: 'shop' }],
    ['a socket as the host', 'postgres://u:p@%2Frun%2Fpg:5433/shop', { host: '/run/pg', port: 5433, database: 'shop' }],
    ['the scheme socket', 'socket://u:p@/run/pg?db=shop&port=5433', { host: '/run/pg', database: 'shop', port: 5433 }],
    ['escaped characters', 'postgres://u:p%23%2F%3F%40%25@db/shop', { password: 'p#/?@%' }],
    ['options', 'postgres://u:p@db/shop?options=-c%20search_path%3Dapp', { options: '-c search_path=app' }],
    ['a name of the application', 'postgres://u:p@db/shop?application_name=a@b', { application_name: 'a@b' }],
  ])('is read as pg reads it: %s', (_, url, settings) => {
    expect(readDatabaseUrl(url, 'DATABASE_URL')).toMatchObject(settings);
  });
});

describe('TLS of a URL', () => {
  const url = (query: string): string => `postgres://u:p@db/shop${query}`;
  const ca = join(tmpdir(), `durable-ca-${process.pid}.crt`);
  writeFileSync(ca, 'a certificate');

  it.each<[string, boolean | object | undefined, unknown]>([
    ['', undefined, false],
    ['', true, true],
    ['', false, false],
    ['?sslmode=disable', undefined, false],
    ['?sslmode=disable', false, false],
    ['?ssl=true', undefined, true],
    ['?sslmode=require', undefined, {}],
    ['?sslmode=no-verify', undefined, { rejectUnauthorized: false }],
    // The option refines what the URL says.
    ['?sslmode=no-verify', true, true],
    ['?sslmode=require', true, {}],
    ['?sslmode=require', { rejectUnauthorized: false }, { rejectUnauthorized: false }],
    ['?sslmode=no-verify', { ca: 'mine' }, { ca: 'mine' }],
    [`?sslmode=verify-full&sslrootcert=${ca}`, true, { ca: 'a certificate' }],
    [`?sslmode=verify-full&sslrootcert=${ca}`, { servername: 'db' }, { ca: 'a certificate', servername: 'db' }],
  ])('follows the query "%s" and the option ssl %j', (query, ssl, expected) => {
    expect(readDatabaseUrl(url(query), 'connection.url', ssl).ssl).toEqual(expected);
  });

  it.each<[string, boolean | object]>([
    ['?sslmode=disable', true],
    ['?sslmode=disable', { ca: 'mine' }],
    ['?ssl=0', true],
    ['?sslmode=require', false],
    ['?ssl=true', false],
    ['?sslmode=verify-full', { rejectUnauthorized: false }],
    ['?sslmode=verify-ca', { rejectUnauthorized: false }],
  ])('is refused when the option ssl contradicts the query: %s and %j', (query, ssl) => {
    const error = refusal(url(query), ssl);
    expect(error).toBeInstanceOf(InvalidInputError);
    expect(error.message).toMatch(/^connection\.ssl contradicts the URL/);
  });

  it('comes from the pool for a direct connection whose URL does not mention TLS', () => {
    const token = (): string => 'token';
    const pool = { host: 'pooler', port: 6432, user: 'app', password: token, database: 'shop', ssl: { ca: 'mine' }, options: '-c a=b' };
    expect(settingsPast(pool, 'postgres://direct:5432/shop')).toEqual({
      host: 'direct',
      port: 5432,
      user: 'app',
      password: token,
      database: 'shop',
      ssl: { ca: 'mine' },
      connectionTimeoutMillis: 10_000,
    });
    expect(settingsPast(pool, 'postgres://other:pw@direct/shop?sslmode=disable')).toMatchObject({
      user: 'other',
      password: 'pw',
      ssl: false,
    });
    expect(settingsPast(pool, 'postgres://%2Frun%2Fpg/shop').ssl).toEqual({ ca: 'mine' });
  });
});
