// Checks what is published: package.json against the files (publint), and the types that each way of importing finds (attw).
import { spawnSync } from 'node:child_process';

import { pack, temporaryDirectory } from './pack.mjs';

const tarball = pack(temporaryDirectory('lint'));
for (const [command, ...options] of [
  ['publint', 'run', tarball, '--strict', '--level', 'suggestion'],
  ['attw', tarball, '--profile', 'strict', '--format', 'ascii', '--no-color', '--no-emoji'],
]) {
  const { status } = spawnSync(`node_modules/.bin/${command}`, options, { stdio: 'inherit' });
  if (status !== 0) process.exit(status ?? 1);
}
