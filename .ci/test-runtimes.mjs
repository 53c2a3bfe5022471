// Packs the package, installs it into an application, and runs the application on each runtime. The
// runs have branches, a sleep, a signal, a child and a race. Two processes are killed in the
// middle, and the last one ends gracefully. Prints the results as a table.
//   npm run test:runtimes                        all runtimes
//   npm run test:runtimes -- node20 bun          only these
import { spawn, spawnSync } from 'node:child_process';
import { cpSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { pathToFileURL } from 'node:url';

import { pack, temporaryDirectory, userEnvironment } from './pack.mjs';

/** npm packages of the runtimes, and the command that executes the application on each. */
const RUNTIMES = {
  node20: { install: 'node@20', binary: 'bin/node', args: ['dist/main'] },
  node22: { install: 'node@22', binary: 'bin/node', args: ['dist/main'] },
  node24: { install: 'node@24', binary: 'bin/node', args: ['dist/main'] },
  node26: { install: 'node@26', binary: 'bin/node', args: ['dist/main'] },
  bun: { install: 'bun@1', binary: 'bin/bun.exe', args: ['dist/main.js'] },
  'bun, TypeScript': { install: 'bun@1', binary: 'bin/bun.exe', args: ['src/main.ts'] },
  deno: { install: 'deno@2', binary: 'deno', args: ['run', '-A', '--node-modules-dir=manual', 'dist/main.js'] },
};
const RESULTS = [1, 2, 3, 4, 5, 6].map((order) => `a0a1a2a3 b0b1b2b3 c0c1c2c3 ann leaf leaf${order} quick order ${order}`);

const names = process.argv.length > 2 ? process.argv.slice(2) : Object.keys(RUNTIMES);
for (const name of names) if (!(name in RUNTIMES)) throw new Error(`there is no runtime ${name}, only ${Object.keys(RUNTIMES).join(', ')}`);

const temporary = temporaryDirectory('runtimes');
const app = join(temporary, 'app');
const env = userEnvironment({ NO_COLOR: '1' });
const children = new Set();
process.on('exit', () => children.forEach((child) => child.kill('SIGKILL')));

function run(directory, command, ...args) {
  const { status, stdout, stderr } = spawnSync(command, args, { cwd: directory, env, encoding: 'utf8' });
  if (status !== 0) throw new Error(`${command} ${args.join(' ')} failed\n${stdout}\n${stderr}`);
  return stdout;
}

/** Starts the application and collects its output. */
function start(binary, args, more) {
  const child = spawn(binary, args, { cwd: app, env: { ...env, ...more }, stdio: ['ignore', 'pipe', 'pipe'] });
  children.add(child);
  const started = { child, output: '', isOver: false };
  const take = (chunk) => (started.output += chunk);
  child.stdout.on('data', take);
  child.stderr.on('data', take);
  started.over = new Promise((resolve) =>
    child.on('close', (code, signal) => {
      children.delete(child);
      started.isOver = true;
      resolve(signal ?? code);
    }),
  );
  started.until = async (text) => {
    for (let waited = 0; !started.output.includes(text); waited += 50) {
      if (started.isOver || waited > 90_000) throw new Error(`"${text}" was not printed\n${started.output}`);
      await sleep(50);
    }
  };
  return started;
}

async function tryOut(name, server, index) {
  const { install, binary: file, args } = RUNTIMES[name];
  const folder = join(temporary, install.replace('@', ''));
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, 'package.json'), '{"private":true}');
  run(folder, 'npm', 'install', '--no-audit', '--no-fund', `runtime@npm:${install}`);
  const binary = join(folder, 'node_modules/runtime', file);
  const version = run(folder, binary, '--version')
    .split('\n')[0]
    .replace(/^v|^deno | \(.*/g, '');

  const { Client } = createRequire(join(app, 'package.json'))('pg');
  const database = `runtime_${index}`;
  const query = async (url, text) => {
    const client = new Client({ connectionString: url });
    await client.connect();
    try {
      return (await client.query(text)).rows;
    } finally {
      await client.end();
    }
  };
  await query(server.url, `CREATE DATABASE ${database}`);
  const url = Object.assign(new URL(server.url), { pathname: `/${database}` }).href;
  for (const more of [{}, { APPROVE: '1' }]) {
    const killed = start(binary, args, { DATABASE_URL: url, ...more });
    await killed.until('started');
    await sleep(300);
    killed.child.kill('SIGKILL');
    await killed.over;
  }
  const last = start(binary, args, { DATABASE_URL: url, APPROVE: '1' });
  await last.until('results');
  const results = JSON.parse(/results (.*)/.exec(last.output)[1]);
  if (JSON.stringify(results) !== JSON.stringify(RESULTS)) throw new Error(`other results: ${JSON.stringify(results)}`);
  const odd = await query(url, `SELECT id, status FROM durable.workflow_runs WHERE status <> 'completed' OR is_blocked`);
  if (odd.length > 0) throw new Error(`runs that did not complete: ${JSON.stringify(odd)}`);
  last.child.kill('SIGTERM');
  const end = await Promise.race([last.over, sleep(15_000).then(() => 'late')]);
  if (!['SIGTERM', 0, 143].includes(end)) throw new Error(`it did not end by SIGTERM: ${end}\n${last.output}`);
  const left = await query(url, 'SELECT id FROM durable.workflow_sessions');
  if (left.length > 0) throw new Error('it left its session behind');
  return version;
}

cpSync(new URL('../test/packages/runtimes', import.meta.url).pathname, app, { recursive: true });
const manifest = JSON.parse(readFileSync(join(app, 'package.json'), 'utf8'));
manifest.dependencies['nestjs-durable'] = `file:${pack(temporary)}`;
writeFileSync(join(app, 'package.json'), JSON.stringify(manifest));
run(app, 'npm', 'install', '--no-audit', '--no-fund');
run(app, 'npm', 'run', 'build');
const { startEmbeddedPostgres } = await import(pathToFileURL(createRequire(join(app, 'package.json')).resolve('nestjs-durable')).href);
const server = await startEmbeddedPostgres({ fast: true });

const rows = [];
try {
  for (const [index, name] of names.entries()) {
    try {
      rows.push([name, await tryOut(name, server, index), 'held']);
    } catch (error) {
      process.exitCode = 1;
      rows.push([name, '', 'FAILED']);
      console.error(`${name}: ${error.message}`);
    }
    console.log(rows.at(-1).join(' '));
  }
} finally {
  await server.stop();
}
const line = (cells) => `| ${cells.join(' | ')} |`;
console.log(`\n${[['runtime', 'version', 'result'], ['---', '---', '---'], ...rows].map(line).join('\n')}`);
