// Tests `nestjs-durable/world` with the real Workflow DevKit: installs the packages of each line of
// the kit outside of the tree, builds the applications of test/world/apps, and runs test/world.
// `--install` only installs; the exit code tells whether that worked. `--compare` installs
// @workflow/world-postgres, and compares the two Worlds instead.
import { spawn, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const apps = fileURLToPath(new URL('../test/world/apps/', import.meta.url));

// The integrations with frameworks are most of the kit, and the tests need none of them.
const unused = ['astro', 'cli', 'nest', 'next', 'nitro', 'nuxt', 'rollup', 'sveltekit', 'typescript-plugin', 'vite', 'web'];
const overridesFor = (dependencies) =>
  Object.fromEntries(unused.map((name) => [`@workflow/${name}`, 'npm:ms@2.1.3']).filter(([name]) => dependencies[name] === undefined));

/**
 * Folders to install, each with the versions that fit together. One with `build` is an application,
 * and contains the files of `apps/application` too.
 */
const kits = {
  stable: { dependencies: { workflow: '4.8.9', '@workflow/builders': '4.1.14' }, build: 'build.mjs' },
  beta5: { dependencies: { '@workflow/world-testing': '5.0.0-beta.35', vitest: '4.1.10' } },
  beta7: {
    dependencies: {
      workflow: '5.0.0-beta.55',
      '@workflow/builders': '5.0.0-beta.55',
      '@workflow/nest': '5.0.0-beta.55',
      '@nestjs/common': '11.1.9',
      '@nestjs/core': '11.1.9',
      '@nestjs/platform-express': '11.1.9',
      '@swc/core': '1.15.3',
      'reflect-metadata': '0.2.2',
      rxjs: '7.8.2',
    },
    build: 'build.mjs',
  },
  // The versions of Node on which the kit's own tests run.
  node22: { dependencies: { [`node-${process.platform}-${process.arch}`]: '22.23.5' } },
  node24: { dependencies: { [`node-${process.platform}-${process.arch}`]: '24.22.3' } },
};

const stable = kits.stable.dependencies;
/** The stable line with the World that is measured beside this one. */
const compared = { dependencies: { ...stable, '@workflow/world-postgres': '4.3.7' }, build: 'build.mjs', files: 'stable' };

/** Folder of the kits. Other versions or other applications get another folder. */
function folderOf() {
  const hash = createHash('sha256').update(JSON.stringify(kits)).update(JSON.stringify(unused)).update(process.version);
  for (const file of readdirSync(apps, { recursive: true }).toSorted((a, b) => (a < b ? -1 : 1))) {
    const path = join(apps, file);
    if (statSync(path).isFile()) hash.update(file).update(readFileSync(path));
  }
  return join(tmpdir(), `nestjs-durable-world-${hash.digest('hex').slice(0, 12)}`);
}

function run(folder, command, ...args) {
  const child = spawn(command, args, { cwd: folder, timeout: 300_000 });
  const output = [];
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (part) => output.push(part));
  return new Promise((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (status) => {
      if (status === 0) resolve();
      else reject(new Error(`${command} ${args.join(' ')} ended with ${status}\n${Buffer.concat(output).toString()}`));
    });
  });
}

async function install(name, folder) {
  const { dependencies, build, files = name } = name === 'compare' ? compared : kits[name];
  const target = join(folder, name);
  if (existsSync(target)) return;
  // The folder gets its name when it is complete.
  const unfinished = `${target}.${process.pid}`;
  mkdirSync(unfinished, { recursive: true });
  writeFileSync(
    join(unfinished, 'package.json'),
    JSON.stringify({ private: true, type: 'module', dependencies, overrides: overridesFor(dependencies) }),
  );
  await run(
    unfinished,
    'npm',
    'install',
    '--no-audit',
    '--no-fund',
    '--ignore-scripts',
    '--no-package-lock',
    '--prefer-offline',
    '--legacy-peer-deps',
  );
  if (build !== undefined) cpSync(join(apps, 'application'), unfinished, { recursive: true });
  if (existsSync(join(apps, files))) cpSync(join(apps, files), unfinished, { recursive: true });
  if (build !== undefined) await run(unfinished, process.execPath, build);
  try {
    renameSync(unfinished, target);
  } catch (error) {
    rmSync(unfinished, { recursive: true, force: true });
    if (!existsSync(target)) throw error;
  }
}

const folder = folderOf();
try {
  const names = process.argv.includes('--compare') ? ['compare'] : Object.keys(kits);
  await Promise.all(names.map((name) => install(name, folder)));
} catch (error) {
  console.error(`the packages of the Workflow DevKit cannot be installed: ${error.message}`);
  process.exit(1);
}
if (!process.argv.includes('--install')) {
  const env = { ...process.env, DURABLE_WORLD_KITS: folder };
  const [command, ...args] = process.argv.includes('--compare')
    ? [process.execPath, 'test/bench/world.mjs', ...process.argv.slice(2)]
    : ['npx', 'jest', '--config', 'jest.world.config.mjs', ...process.argv.slice(2)];
  const { status } = spawnSync(command, args, { stdio: 'inherit', env });
  process.exit(status ?? 1);
}
