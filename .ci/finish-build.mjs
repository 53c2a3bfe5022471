// After both compilations: marks dist/cjs as CommonJS, then loads the package by its name in both ways and compares.
import { writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';

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
