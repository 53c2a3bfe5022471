// Compares the World with `@workflow/world-postgres` of the same line of the kit: runs per second
// of a workflow of three steps, and the time from a start to its result in an idle process. Each
// round measures both, one after the other, on a new database. `npm run bench:world` runs this;
// `-- --runs N --rounds N` sets the size.
import { spawn, spawnSync } from 'node:child_process';
import { createRequire } from 'node:module';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { performance } from 'node:perf_hooks';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

const require = createRequire(import.meta.url);
const { startEmbeddedPostgres } = require('nestjs-durable');
const pg = require('pg');

const { values } = parseArgs({
  options: { runs: { type: 'string', default: '300' }, rounds: { type: 'string', default: '3' }, compare: { type: 'boolean' } },
});
const runs = Number(values.runs);
const rounds = Number(values.rounds);
const idleRuns = 20;
const kit = join(process.env.DURABLE_WORLD_KITS, 'compare');
const concurrency = '20';

const systems = [
  {
    name: 'nestjs-durable/world',
    env: (url) => ({
      WORKFLOW_TARGET_WORLD: fileURLToPath(new URL('../../dist/cjs/src/world/index.js', import.meta.url)),
      DATABASE_URL: url,
      WORLD_OPTIONS: JSON.stringify({ concurrency: Number(concurrency) }),
    }),
    prepare: () => undefined,
    table: 'durable_world.world_runs',
    id: 'run_id',
  },
  {
    name: '@workflow/world-postgres',
    env: (url) => ({
      WORKFLOW_TARGET_WORLD: '@workflow/world-postgres',
      WORKFLOW_POSTGRES_URL: url,
      WORKFLOW_POSTGRES_WORKER_CONCURRENCY: concurrency,
    }),
    prepare(url) {
      const setup = join(kit, 'node_modules/@workflow/world-postgres/bin/setup.js');
      const { status, stderr } = spawnSync(process.execPath, [setup], {
        cwd: kit,
        env: { ...process.env, WORKFLOW_POSTGRES_URL: url, DATABASE_URL: url },
      });
      if (status !== 0) throw new Error(`the setup of @workflow/world-postgres failed: ${String(stderr)}`);
    },
    table: 'workflow.workflow_runs',
    id: 'id',
  },
];

async function freePort() {
  const server = createServer();
  await new Promise((resolve) => server.listen(0, resolve));
  const { port } = server.address();
  await new Promise((resolve) => server.close(resolve));
  return port;
}

async function startApplication(system, url) {
  const port = await freePort();
  const env = { ...process.env, PORT: String(port), WORKFLOW_LOCAL_BASE_URL: `http://localhost:${port}`, ...system.env(url) };
  const child = spawn(process.execPath, ['server.mjs'], { cwd: kit, env, stdio: ['ignore', 'pipe', 'ignore'] });
  const ended = new Promise((resolve) => child.once('close', resolve));
  await new Promise((resolve, reject) => {
    child.stdout.on('data', (text) => String(text).includes('listening') && resolve());
    void ended.then(() => reject(new Error(`the application of ${system.name} ended`)));
  });
  return { url: `http://localhost:${port}`, stop: () => (child.kill('SIGKILL'), ended) };
}

async function start(application) {
  const body = JSON.stringify({ workflow: 'addThree', args: [1] });
  const response = await fetch(`${application.url}/start`, { method: 'POST', headers: { 'content-type': 'application/json' }, body });
  return (await response.json()).runId;
}

const median = (numbers) => numbers.toSorted((a, b) => a - b)[Math.floor(numbers.length / 2)];

/** Measures one system on a new database. */
async function measure(system, admin, serverUrl) {
  const name = `bench_world_${Date.now()}`;
  await admin.query(`CREATE DATABASE ${name} TEMPLATE template0`);
  const url = new URL(serverUrl);
  url.pathname = `/${name}`;
  system.prepare(url.href);
  const application = await startApplication(system, url.href);
  const reader = new pg.Client({ connectionString: url.href });
  await reader.connect();
  const completed = async (count) => {
    for (;;) {
      const { rows } = await reader.query(`SELECT count(*)::int AS n FROM ${system.table} WHERE status = 'completed'`);
      if (rows[0].n >= count) return;
      await sleep(20);
    }
  };
  try {
    // The first runs load code and plan statements.
    await Promise.all(Array.from({ length: 20 }, () => start(application)));
    await completed(20);
    const idle = [];
    for (let index = 0; index < idleRuns; index++) {
      await sleep(100);
      const began = performance.now();
      const runId = await start(application);
      for (let status; status !== 'completed'; await sleep(1))
        status = (await reader.query(`SELECT status FROM ${system.table} WHERE ${system.id} = $1`, [runId])).rows[0]?.status;
      idle.push(performance.now() - began);
    }
    const began = performance.now();
    let left = runs;
    const starter = async () => {
      while (left-- > 0) await start(application);
    };
    await Promise.all(Array.from({ length: 16 }, starter));
    await completed(20 + idleRuns + runs);
    return { perSecond: (runs * 1_000) / (performance.now() - began), idleMs: median(idle) };
  } finally {
    await application.stop();
    await reader.end();
    await admin.query(`DROP DATABASE ${name} WITH (FORCE)`);
  }
}

const server = process.env.DATABASE_URL ? undefined : await startEmbeddedPostgres();
const serverUrl = process.env.DATABASE_URL ?? server.url;
const admin = new pg.Client({ connectionString: serverUrl });
await admin.connect();
const results = new Map(systems.map(({ name }) => [name, []]));
try {
  for (let round = 0; round < rounds; round++) {
    // The order changes, because the second system meets a warmer machine.
    for (const system of round % 2 === 0 ? systems : systems.toReversed()) {
      const result = await measure(system, admin, serverUrl);
      results.get(system.name).push(result);
      console.log(`round ${round + 1}: ${system.name}: ${result.perSecond.toFixed(1)} runs/s, ${result.idleMs.toFixed(1)} ms`);
    }
  }
} finally {
  await admin.end();
  await server?.stop();
}
const [own, other] = systems.map(({ name }) => ({
  perSecond: median(results.get(name).map(({ perSecond }) => perSecond)),
  idleMs: median(results.get(name).map(({ idleMs }) => idleMs)),
}));
console.log(`throughput: ${(own.perSecond / other.perSecond).toFixed(2)} x that of @workflow/world-postgres`);
console.log(`idle start to result: ${(own.idleMs / other.idleMs).toFixed(2)} x`);
