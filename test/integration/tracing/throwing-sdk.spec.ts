import type { LoggerService } from '@nestjs/common';
import { createNoopMeter, metrics, trace } from '@opentelemetry/api';
import type { Sampler, SpanProcessor } from '@opentelemetry/sdk-trace-base';
import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';

import { Workflow, WorkflowClient, WorkflowModule, type WorkflowContext } from '../../../src/index.js';
import { bootApplication, closeApplications } from '../../support/application.js';
import { createTestDatabase, type TestDatabase } from '../../support/database.js';
import { withoutStalls } from '../../support/log-lines.js';
import { TestTracing } from '../../support/tracing.js';

@Workflow({ name: 'child' })
class Child {
  async run(_input: void, ctx: WorkflowContext): Promise<number> {
    return ctx.step('answer', () => 42);
  }
}

@Workflow({ name: 'parent' })
class Parent {
  async run(_input: void, ctx: WorkflowContext): Promise<unknown> {
    let attempts = 0;
    await ctx.step('flaky', { retry: { maxAttempts: 2, initialInterval: 1 } }, () => {
      if (++attempts === 1) throw new Error('the first attempt fails');
    });
    const late = await ctx
      .step('late', { timeout: 20, retry: { maxAttempts: 1 } }, () => new Promise(() => {}))
      .catch((error: { code?: string }) => error.code);
    return [late, await ctx.invoke(Child)];
  }
}

class Warnings implements LoggerService {
  readonly all: string[] = [];
  log = (): void => {};
  warn = (line: unknown): void => void this.all.push(String(line));
  error = this.warn;
}

const fail = (): never => {
  throw new Error('the redaction of attributes failed');
};

const processor = (throwing: Partial<SpanProcessor>): SpanProcessor => ({
  onStart: () => {},
  onEnd: () => {},
  forceFlush: async () => {},
  shutdown: async () => {},
  ...throwing,
});

const sampler: Sampler = { shouldSample: fail, toString: () => 'throwing' };

describe('an SDK that throws', () => {
  let database: TestDatabase;
  beforeAll(async () => {
    database = await createTestDatabase();
  });
  afterEach(async () => {
    await closeApplications();
    TestTracing.unregister();
  });
  afterAll(() => database.drop());

  it.each<[string, () => TestTracing]>([
    ['when a span begins', () => TestTracing.register(undefined, processor({ onStart: fail }))],
    ['when a span ends', () => TestTracing.register(undefined, processor({ onEnd: fail }))],
    ['when it samples a span', () => TestTracing.register(sampler)],
  ])('%s stops no run, and is logged once', async (_when, register) => {
    register();
    const warnings = new Warnings();
    const imports = [WorkflowModule.forRoot({ connection: { url: database.url }, worker: { concurrency: 2 } })];
    const module = await bootApplication({ imports, providers: [Parent, Child] }, warnings);
    const client = module.get(WorkflowClient);
    // There are more runs than slots, so that a slot that is not released would be missed.
    const results = await Promise.all(Array.from({ length: 4 }, () => client.execute(Parent, undefined, { timeout: '20s' })));
    expect(results).toEqual(Array.from({ length: 4 }, () => ['STEP_FAILED', 42]));
    const about = warnings.all.filter((line) => line.includes('[tracing-failed]'));
    expect(about).toEqual([expect.stringContaining('the redaction of attributes failed')]);
  });

  it.each<[string, () => void, string]>([
    ['a tracer', () => trace.setGlobalTracerProvider({ getTracer: fail }), 'tracing-failed'],
    ['a meter', () => metrics.setGlobalMeterProvider({ getMeter: fail }), 'metrics-not-exported'],
    [
      'an instrument',
      () => metrics.setGlobalMeterProvider({ getMeter: () => ({ createHistogram: fail }) as never }),
      'metrics-not-exported',
    ],
  ])('when the module asks for %s does not stop the boot, and is logged once', async (_what, register, code) => {
    register();
    try {
      const warnings = new Warnings();
      const imports = [WorkflowModule.forRoot({ connection: { url: database.url }, worker: {} })];
      const module = await bootApplication({ imports, providers: [Child] }, warnings);
      expect(await module.get(WorkflowClient).execute(Child, undefined, { timeout: '20s' })).toBe(42);
      expect(warnings.all.filter((line) => line.includes('opentelemetry'))).toEqual([
        expect.stringMatching(new RegExp(`the redaction of attributes failed.*\\[${code}\\]`, 's')),
      ]);
    } finally {
      trace.disable();
      metrics.disable();
    }
  });

  it('when the export of metrics ends does not keep the worker from closing', async () => {
    const meter = Object.assign(Object.create(createNoopMeter()), { removeBatchObservableCallback: fail });
    metrics.setGlobalMeterProvider({ getMeter: () => meter });
    try {
      const warnings = new Warnings();
      const imports = [WorkflowModule.forRoot({ connection: { url: database.url }, worker: {} })];
      const module = await bootApplication({ imports, providers: [Child] }, warnings);
      expect(await database.query('SELECT 1 FROM durable.workflow_sessions')).toHaveLength(1);
      await module.close();
      expect(await database.query('SELECT 1 FROM durable.workflow_sessions')).toEqual([]);
      expect(withoutStalls(warnings.all)).toEqual([expect.stringMatching(/the redaction of attributes failed.*\[metrics-not-exported\]/s)]);
    } finally {
      metrics.disable();
    }
  });
});
