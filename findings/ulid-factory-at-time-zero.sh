#!/usr/bin/env bash
# ulid 3.0.2: monotonicFactory throws at time 0, the default time of node:test's mock timers.
#
# Guess:    `monotonicFactory()` makes an id at any time that `ulid()` accepts, and 0 is such a time.
# Behavior: the factory takes time 0 for a time at which it has already made an id, and increments
#           random characters that are not there: a TypeError. `ulid()` makes an id.
# Hurts:    tests with `mock.timers.enable({ apis: ['Date'] })`, whose clock begins at 0. Give the
#           mocked clock another time with `now`.
#
# Exits with 0 while this holds, with 1 when the behavior has changed.
set -euo pipefail

folder=$(mktemp -d "${TMPDIR:-/var/tmp}/finding.XXXXXX")
trap 'rm -rf "$folder"' EXIT
cd "$folder"
printf '{ "private": true, "type": "module" }\n' >package.json
npm install --no-audit --no-fund --loglevel=error ulid@3.0.2 >/dev/null

cat >finding.mjs <<'JS'
import { mock } from 'node:test';
import { monotonicFactory, ulid } from 'ulid';

const seen = (make) => {
  try {
    return make();
  } catch (error) {
    return error.name;
  }
};

mock.timers.enable({ apis: ['Date'] });
const plain = seen(() => ulid());
const factory = seen(monotonicFactory());
mock.timers.setTime(1);
const later = seen(monotonicFactory());
console.log(`at time 0: ulid() ${plain}, factory ${factory}; factory at time 1: ${later}`);
const holds = plain.length === 26 && factory === 'TypeError' && later.length === 26;
console.log(holds ? 'as found: the factory throws at time 0' : 'CHANGED');
process.exit(holds ? 0 : 1);
JS
node --no-warnings finding.mjs
