#!/usr/bin/env bash
# ulid 3.0.2: an id asks Node's crypto module for random bytes sixteen times, one byte each.
#
# Guess:    one id takes one request of ten bytes, which is all the randomness that it has.
# Behavior: the default random generator takes one byte for each of the 16 random characters.
# Hurts:    processes that make thousands of ids per second, and profiles with asynchronous hooks, which
#           count each request. Pass a generator of your own that takes its bytes from a larger block.
#
# Exits with 0 while this holds, with 1 when the behavior has changed.
set -euo pipefail

folder=$(mktemp -d "${TMPDIR:-/var/tmp}/finding.XXXXXX")
trap 'rm -rf "$folder"' EXIT
cd "$folder"
printf '{ "private": true, "type": "module" }\n' >package.json
npm install --no-audit --no-fund --loglevel=error ulid@3.0.2 >/dev/null

cat >finding.mjs <<'JS'
import crypto from 'node:crypto';

const requests = [];
const { randomBytes } = crypto;
crypto.randomBytes = (size, ...rest) => {
  requests.push(size);
  return randomBytes(size, ...rest);
};
const { getRandomValues } = globalThis.crypto;
globalThis.crypto.getRandomValues = (array) => {
  requests.push(array.byteLength);
  return getRandomValues.call(globalThis.crypto, array);
};

const { monotonicFactory, ulid } = await import('ulid');
ulid();
const plain = requests.splice(0);
const next = monotonicFactory();
next();
const first = requests.splice(0);
console.log(`ulid(): ${plain.length} requests of ${[...new Set(plain)]} byte; first id of a factory: ${first.length}`);
const holds = plain.length === 16 && plain.every((size) => size === 1) && first.length === 16;
console.log(holds ? 'as found: one request per character' : 'CHANGED');
process.exit(holds ? 0 : 1);
JS
node finding.mjs
