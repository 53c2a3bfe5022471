// Checks the package that would be published: package.json against the files (publint), and the
// types for each way of importing (attw).
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
