import { mkdirSync, readdirSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { transformFile } from '@swc/core';
import { swcOptions } from './swc-options.mjs';

const root = fileURLToPath(new URL('../..', import.meta.url));

/**
 * The directory of compiled tests. It lies below node_modules, so that packages resolve from there.
 */
export const compiledDir = join(root, 'node_modules', '.cache', 'nestjs-durable-tests');

const samples = [
  '02-approval',
  '03-fan-out',
  '04-payment-saga',
  '05-qstash',
  '07-limits',
  '08-agent',
  '09-operations',
  '10-dashboard',
  '11-events',
  '12-schedules',
];
const folders = ['src', 'migrations', 'test', ...samples.map((name) => `sample/${name}`)];

/** Lists the files in a folder and in the folders below it. */
export function* filesBelow(folder) {
  let entries;
  try {
    entries = readdirSync(folder, { withFileTypes: true });
  } catch {
    return;
  }
  for (const entry of entries) {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) yield* filesBelow(path);
    else yield path;
  }
}

const isSource = (path) => path.endsWith('.ts') && !path.endsWith('.spec.ts') && !path.endsWith('.d.ts');
const modifiedAt = (path) => statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? 0;

/**
 * Writes a file by renaming it into place: two Jest runs may compile at once, and readers always
 * find a whole file.
 */
function writeWhole(path, text) {
  mkdirSync(dirname(path), { recursive: true });
  const draft = `${path}.${process.pid}`;
  writeFileSync(draft, text);
  renameSync(draft, path);
}

async function compileFile(source, target) {
  const { code } = await transformFile(source, {
    ...swcOptions,
    configFile: false,
    // import() stays import(): a package that is ESM only is loaded as such.
    module: { type: 'commonjs', ignoreDynamic: true },
  });
  writeWhole(target, code);
}

/**
 * Compiles the files that tests start as processes of their own to CommonJS, for plain `node`.
 * Leaves files alone that are older than their output.
 */
export async function compileTests() {
  const manifest = { type: 'commonjs', name: 'nestjs-durable', exports: { '.': './src/index.js', './testing': './src/testing/index.js' } };
  writeWhole(join(compiledDir, 'package.json'), JSON.stringify(manifest));

  const settings = Math.max(...['compile.mjs', 'swc-options.mjs'].map((name) => modifiedAt(join(root, 'test/support', name))));
  const wanted = new Set();
  const work = [];
  for (const source of folders.flatMap((folder) => [...filesBelow(join(root, folder))]).filter(isSource)) {
    const target = join(compiledDir, relative(root, source)).replace(/\.ts$/, '.js');
    wanted.add(target);
    if (modifiedAt(target) <= Math.max(modifiedAt(source), settings)) work.push(compileFile(source, target));
  }
  await Promise.all(work);

  // A source that was renamed must not live on in its output.
  for (const output of folders.flatMap((folder) => [...filesBelow(join(compiledDir, folder))])) {
    if (output.endsWith('.js') && !wanted.has(output)) rmSync(output, { force: true });
  }
}
