#!/usr/bin/env bash
# @nestjs/core 11.2.1: app.close() and a signal in the same moment run the shutdown hooks twice.
#
# Guess:    an application that calls app.close() and gets SIGTERM before close() has ended runs each
#           onModuleDestroy once: the second shutdown joins the first one.
# Behavior: in 11.2.1 each hook runs twice, the second time while the first is still under way. In 12.5.1
#           each hook runs once.
# Hurts:    providers that end a pool, flush a buffer or delete a row in onModuleDestroy, in applications
#           that close themselves under a process manager. pool.end() throws the second time, and what the
#           first run still needs is destroyed under it. Keep the promise of the first run and return it.
#
# Exits with 0 while this holds, with 1 when the behavior has changed.
set -euo pipefail

folder=$(mktemp -d "${TMPDIR:-/var/tmp}/finding.XXXXXX")
trap 'rm -rf "$folder"' EXIT
cd "$folder"

cat >finding.mjs <<'JS'
import 'reflect-metadata';
import { writeSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';

class Pool {
  async onModuleDestroy() {
    writeSync(1, 'begun ');
    await sleep(300);
  }
}
class AppModule {}
Module({ providers: [Pool] })(AppModule);

const app = await NestFactory.createApplicationContext(AppModule, { logger: false });
app.enableShutdownHooks(['SIGTERM']);
const closing = app.close();
process.kill(process.pid, 'SIGTERM');
await closing;
await sleep(600);
JS

status=0
expect() {
  local version=$1 expected=$2 seen
  rm -rf node_modules package-lock.json
  printf '{ "private": true, "type": "module" }\n' >package.json
  npm install --no-audit --no-fund --loglevel=error \
    "@nestjs/core@$version" "@nestjs/common@$version" reflect-metadata@0.2.2 rxjs@7.8.2 >/dev/null
  # Nest ends the process by the same signal after its hooks.
  seen=$(node finding.mjs || true)
  printf '@nestjs/core %s: onModuleDestroy %s\n' "$version" "$seen"
  [ "$seen" = "$expected" ] || status=1
}
expect 11.2.1 'begun begun '
expect 12.5.1 'begun '
exit "$status"
