import { appendFileSync } from 'node:fs';
import { createRequire } from 'node:module';

import { context, propagation, trace } from '@opentelemetry/api';
import { AsyncLocalStorageContextManager } from '@opentelemetry/context-async-hooks';
import { W3CTraceContextPropagator } from '@opentelemetry/core';
import { registerInstrumentations } from '@opentelemetry/instrumentation';
import { HttpInstrumentation } from '@opentelemetry/instrumentation-http';
import { NestInstrumentation } from '@opentelemetry/instrumentation-nestjs-core';
import { PgInstrumentation } from '@opentelemetry/instrumentation-pg';
import { BasicTracerProvider, type ReadableSpan, type SpanProcessor } from '@opentelemetry/sdk-trace-base';

import type { SpanRecord } from '../support/trace-tree.js';

const { file } = JSON.parse(process.env['TRACED_SETTINGS']!) as { file: string };

/** Writes a line when a span begins and when it ends, so that SIGKILL loses nothing. */
class FileProcessor implements SpanProcessor {
  onStart(span: unknown): void {
    this.write('start', span as ReadableSpan);
  }

  onEnd(span: ReadableSpan): void {
    this.write('end', span);
  }

  async forceFlush(): Promise<void> {}

  async shutdown(): Promise<void> {}

  private write(event: SpanRecord['event'], span: ReadableSpan): void {
    const { traceId, spanId } = span.spanContext();
    const record: SpanRecord = {
      event,
      traceId,
      spanId,
      parentId: span.parentSpanContext?.spanId,
      name: span.name,
      kind: span.kind,
      scope: span.instrumentationScope.name,
      attributes: span.attributes,
      status: span.status,
      links: span.links.map((link) => ({ spanId: link.context.spanId, attributes: link.attributes ?? {} })),
    };
    appendFileSync(file, `${JSON.stringify(record)}\n`);
  }
}

context.setGlobalContextManager(new AsyncLocalStorageContextManager().enable());
propagation.setGlobalPropagator(new W3CTraceContextPropagator());
trace.setGlobalTracerProvider(new BasicTracerProvider({ spanProcessors: [new FileProcessor()] }));
registerInstrumentations({ instrumentations: [new HttpInstrumentation(), new NestInstrumentation(), new PgInstrumentation()] });

// The instrumentations patch modules when `require` loads them. ES modules that import the same
// modules later get the patched ones.
const require = createRequire(import.meta.url);
for (const name of ['node:http', 'pg']) require(name);
