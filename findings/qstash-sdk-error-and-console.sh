#!/usr/bin/env bash
# @upstash/qstash 2.12.0: a request that fails is thrown as an error and also printed to console.error.
#
# Guess:    the client throws QstashError and leaves it to the caller whether anything is logged.
# Behavior: the client also writes one line with method, URL and status to console.error for each failed
#           request, even when the caller handles the error. Seen with `retry: false` and
#           `enableTelemetry: false`.
# Hurts:    services that log JSON lines get plain lines in between, and an outage that the caller limits
#           to one log line prints one line per request.
#
# Exits with 0 while this holds, with 1 when the behavior has changed.
set -euo pipefail

folder=$(mktemp -d "${TMPDIR:-/var/tmp}/finding.XXXXXX")
trap 'rm -rf "$folder"' EXIT
cd "$folder"

cat >finding.mjs <<'JS'
import { createServer } from 'node:http';
import { Client } from '@upstash/qstash';

const server = createServer((request, response) => {
  request.resume();
  response.writeHead(500, { 'content-type': 'application/json' }).end('{"error":"try later"}');
});
await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
const baseUrl = `http://127.0.0.1:${server.address().port}`;

let printed = 0;
console.error = () => void printed++;
const client = new Client({ baseUrl, token: 'token', retry: false, enableTelemetry: false });
let thrown = 'nothing';
try {
  await client.publishJSON({ url: 'https://example.com', body: {} });
} catch (error) {
  thrown = error.constructor.name;
}
server.close();
console.log(`threw ${thrown}, printed ${printed}`);
JS

npm init --yes >/dev/null
npm install --silent --no-audit --no-fund @upstash/qstash@2.12.0 >/dev/null
seen=$(node finding.mjs)
echo "@upstash/qstash 2.12.0: $seen"
[ "$seen" = 'threw QstashError, printed 1' ]
