#!/usr/bin/env bash
# @opentelemetry/instrumentation-nestjs-core 0.70.0: records nothing beside @nestjs/core 12, and says nothing.
#
# Guess:    an instrumentation that is registered beside a version of Nest that it does not support logs a
#           warning, or records the same spans as before.
# Behavior: beside @nestjs/core 11.2.10 a request makes spans of the controller and of the handler. Beside
#           12.5.1 the same program makes none: the supported range ends below 12, and no line in the log
#           says that the range was missed.
# Hurts:    teams that upgrade Nest. The spans of controllers and handlers disappear from their traces,
#           and a span that hung below a handler hangs below the HTTP request.
#
# Exits with 0 while this holds, with 1 when the behavior has changed.
set -euo pipefail

folder=$(mktemp -d "${TMPDIR:-/var/tmp}/finding.XXXXXX")
trap 'rm -rf "$folder"' EXIT
cd "$folder"

cat >finding.mjs <<'JS'
import 'reflect-metadata';
import { register } from 'node:module';
import { diag, DiagConsoleLogger, DiagLogLevel } from '@opentelemetry/api';
import { registerInstrumentations } from '@opentelemetry/instrumentation';
import { NestInstrumentation } from '@opentelemetry/instrumentation-nestjs-core';
import { BasicTracerProvider, InMemorySpanExporter, SimpleSpanProcessor } from '@opentelemetry/sdk-trace-base';

diag.setLogger(new DiagConsoleLogger(), DiagLogLevel.WARN);
register('@opentelemetry/instrumentation/hook.mjs', import.meta.url);
const exporter = new InMemorySpanExporter();
const tracerProvider = new BasicTracerProvider({ spanProcessors: [new SimpleSpanProcessor(exporter)] });
registerInstrumentations({ tracerProvider, instrumentations: [new NestInstrumentation()] });

const { Controller, Get, Module } = await import('@nestjs/common');
const { NestFactory } = await import('@nestjs/core');

class HelloController {
  hello() {
    return 'hello';
  }
}
Controller('hello')(HelloController);
Get()(HelloController.prototype, 'hello', Object.getOwnPropertyDescriptor(HelloController.prototype, 'hello'));
class AppModule {}
Module({ controllers: [HelloController] })(AppModule);

const app = await NestFactory.create(AppModule, { logger: false });
await app.listen(0, '127.0.0.1');
const response = await fetch(`${await app.getUrl()}/hello`);
await app.close();
const names = exporter.getFinishedSpans().map(({ name }) => name);
console.log(`${response.status} ${names.includes('hello') ? 'a span of the handler' : `${names.length} spans`}`);
JS

status=0
expect() {
  local version=$1 expected=$2 seen
  rm -rf node_modules package-lock.json
  printf '{ "private": true, "type": "module" }\n' >package.json
  npm install --no-audit --no-fund --loglevel=error \
    "@nestjs/core@$version" "@nestjs/common@$version" "@nestjs/platform-express@$version" reflect-metadata@0.2.2 rxjs@7.8.2 \
    @opentelemetry/api@1.9.1 @opentelemetry/instrumentation@0.223.0 \
    @opentelemetry/instrumentation-nestjs-core@0.70.0 @opentelemetry/sdk-trace-base@2.12.1 >/dev/null
  seen=$(node finding.mjs 2>&1)
  printf '@nestjs/core %s: %s\n' "$version" "$seen"
  [ "$seen" = "$expected" ] || status=1
}
expect 11.2.10 '200 a span of the handler'
expect 12.5.1 '200 0 spans'
exit "$status"
