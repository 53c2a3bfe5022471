// Installs the packed package into the applications of test/packages, as their users would, then
// compiles, tests and loads the package there. Arguments: names of applications, to run only these.
import { spawn } from 'node:child_process';
import { cpSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { pack, temporaryDirectory, userEnvironment } from './pack.mjs';

const sources = new URL('../test/packages/', import.meta.url).pathname;
const { peerDependencies } = JSON.parse(readFileSync(new URL('../package.json', import.meta.url)));

/** Returns the lowest version that a range such as `^11.0.0 || ^12.0.0` allows. */
const lowest = (range) => range.split('||')[0].trim().replace(/^\^/, '');

const cases = [
  { name: 'nest11-typeorm03-cjs', folder: 'nest11-typeorm03-cjs', pin: [] },
  {
    name: 'nest11-typeorm03-cjs, lowest versions',
    folder: 'nest11-typeorm03-cjs',
    pin: ['@nestjs/common', '@nestjs/core', '@nestjs/platform-express', '@nestjs/testing', '@nestjs/typeorm', 'typeorm', 'pg'],
    usesCommandLine: true,
  },
  { name: 'nest12-typeorm1-esm', folder: 'nest12-typeorm1-esm', pin: [], usesCommandLine: true, usesNodeTest: true },
  { name: 'fastify', folder: 'fastify', pin: [] },
].filter(({ name }) => process.argv.length < 3 || process.argv.slice(2).includes(name));
if (cases.length === 0) throw new Error('there is no such application');

const temporary = temporaryDirectory('packages');
const tarball = pack(temporary);
const env = userEnvironment({ CI: 'true', NODE_ENV: 'test' });
const children = new Set();
process.on('exit', () => children.forEach((child) => child.kill()));

/** Runs a command and shows its output only when it fails. */
function run(directory, command, ...options) {
  return new Promise((resolve, reject) => {
    const child = spawn(command, options, { cwd: directory, env, stdio: ['ignore', 'pipe', 'pipe'] });
    children.add(child);
    const output = [];
    child.stdout.on('data', (chunk) => output.push(chunk));
    child.stderr.on('data', (chunk) => output.push(chunk));
    child.on('error', reject);
    child.on('close', (status) => {
      children.delete(child);
      const printed = Buffer.concat(output).toString();
      if (status === 0) resolve(printed);
      else reject(new Error(`${command} ${options.join(' ')} failed (exit ${status})\n${printed}`));
    });
  });
}

function prepare({ folder, pin }, directory) {
  cpSync(join(sources, folder), directory, { recursive: true });
  cpSync(join(sources, 'shop'), join(directory, 'src'), { recursive: true });
  for (const script of ['copies.mjs', 'command-line.mjs', 'kit.test.mjs']) cpSync(join(sources, script), join(directory, script));
  const file = join(directory, 'package.json');
  const manifest = JSON.parse(readFileSync(file));
  manifest.dependencies['nestjs-durable'] = `file:${tarball}`;
  for (const name of pin) {
    const group = manifest.dependencies[name] ? manifest.dependencies : manifest.devDependencies;
    group[name] = lowest(peerDependencies[name] ?? peerDependencies['@nestjs/core']);
  }
  writeFileSync(file, JSON.stringify(manifest));
}

function versions(directory) {
  const installed = (name) => JSON.parse(readFileSync(join(directory, 'node_modules', name, 'package.json'))).version;
  const platform = readdirSync(join(directory, 'node_modules/@nestjs')).find((name) => name.startsWith('platform-'));
  return `Nest ${installed('@nestjs/core')}, ${platform}, TypeORM ${installed('typeorm')}, pg ${installed('pg')}`;
}

let failures = 0;
for (const [index, each] of cases.entries()) {
  const directory = join(temporary, `application-${index}`);
  const begun = Date.now();
  const times = [];
  const timed = async (what, ...command) => {
    const before = Date.now();
    await run(directory, ...command);
    times.push(`${what} ${((Date.now() - before) / 1000).toFixed(1)}`);
  };
  try {
    prepare(each, directory);
    await timed('install', 'npm', 'install', '--prefer-offline', '--no-audit', '--no-fund');
    await timed('compile', 'npm', 'run', 'build');
    await timed('test', 'npm', 'test');
    await timed('both copies', process.execPath, 'copies.mjs');
    if (each.usesCommandLine) await timed('command line', process.execPath, 'command-line.mjs');
    if (each.usesNodeTest) await timed('node:test', process.execPath, '--test', 'kit.test.mjs');
    const seconds = ((Date.now() - begun) / 1000).toFixed(1);
    console.log(`passed  ${each.name}: ${versions(directory)}, Node ${process.versions.node}: ${seconds} s (${times.join(', ')})`);
  } catch (error) {
    failures++;
    console.log(`FAILED  ${each.name}: ${error.message}`);
  }
}
process.exit(failures === 0 ? 0 : 1);
