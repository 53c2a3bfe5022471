import { metrics, type Meter } from '@opentelemetry/api';
import {
  AggregationTemporality,
  InMemoryMetricExporter,
  MeterProvider,
  PeriodicExportingMetricReader,
  type Histogram,
  type MetricData,
} from '@opentelemetry/sdk-metrics';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';

import { getWorkflowClientToken, Workflow, WorkflowClient, WorkflowModule, type WorkflowContext } from '../../../src/index.js';
import { bootApplication, closeApplications } from '../../support/application.js';
import { createTestDatabase, type TestDatabase } from '../../support/database.js';
import { parseExposition } from '../../support/prometheus.js';
import { waitFor } from '../../support/wait.js';

@Workflow({ name: 'order' })
class Order {
  async run(_input: void, ctx: WorkflowContext): Promise<void> {
    await ctx.step('charge', () => undefined);
  }
}

@Workflow({ name: 'invoice', module: 'billing' })
class Invoice {
  async run(): Promise<void> {
    return undefined;
  }
}

describe('metrics for OpenTelemetry', () => {
  let database: TestDatabase;
  let exporter: InMemoryMetricExporter;
  let provider: MeterProvider;
  beforeAll(async () => {
    database = await createTestDatabase();
  });
  beforeEach(() => provide(AggregationTemporality.CUMULATIVE));
  const provide = (temporality: AggregationTemporality): void => {
    exporter = new InMemoryMetricExporter(temporality);
    provider = new MeterProvider({ readers: [new PeriodicExportingMetricReader({ exporter, exportIntervalMillis: 3_600_000 })] });
  };
  afterEach(async () => {
    await closeApplications();
    metrics.disable();
    await provider.shutdown();
  });
  afterAll(() => database.drop());

  const unnamed = () => WorkflowModule.forRoot({ connection: { url: database.url }, worker: {} });
  const exported = async (): Promise<ReadonlyMap<string, MetricData>> => {
    exporter.reset();
    await provider.forceFlush();
    const all = exporter.getMetrics().flatMap(({ scopeMetrics }) => scopeMetrics.flatMap((scope) => scope.metrics));
    return new Map(all.map((metric) => [metric.descriptor.name, metric]));
  };
  const pointsOf = (data: ReadonlyMap<string, MetricData>, name: string): Record<string, unknown> =>
    Object.fromEntries(
      (data.get(`nestjs_durable.${name}`)?.dataPoints ?? []).map(({ attributes, value }) => [Object.values(attributes).join(' '), value]),
    );

  it('are the metrics of client.metrics(), when the application has registered a provider', async () => {
    metrics.setGlobalMeterProvider(provider);
    const client = (await bootApplication({ imports: [unnamed()], providers: [Order] })).get(WorkflowClient);
    for (const _ of [1, 2]) await client.execute(Order);
    await client.start('nobody has it', undefined);
    const data = await exported();
    expect(pointsOf(data, 'runs.started')).toEqual({ order: 2, 'nobody has it': 1 });
    expect(pointsOf(data, 'runs.ended')).toEqual({ 'order completed': 2, 'order failed': 0, 'order cancelled': 0 });
    expect(pointsOf(data, 'due.runs')).toEqual({ 'default nobody has it 0': 1 });
    expect(pointsOf(data, 'database.up')).toEqual({ '': 1 });
    const { dataPoints, descriptor } = data.get('nestjs_durable.step.duration')!;
    expect(descriptor).toMatchObject({ unit: 's', description: expect.stringContaining('Time from the call of a step') });
    expect(dataPoints.map(({ attributes }) => attributes)).toEqual([{ workflow: 'order', step: 'charge', status: 'completed' }]);
    expect((dataPoints[0]!.value as Histogram).count).toBe(2);

    const text = parseExposition(await client.metrics());
    const inPrometheus = [...text.keys()];
    for (const { descriptor: each } of data.values()) {
      const unit = { s: '_seconds', By: '_bytes' }[each.unit] ?? '';
      expect(inPrometheus.some((name) => name.replace(/_total$/, '') === each.name.replaceAll('.', '_') + unit)).toBe(true);
    }
    const withSamples = [...text].filter(([, { samples }]) => samples.some(({ value }) => value > 0)).length;
    expect(data.size).toBeGreaterThanOrEqual(withSamples);
  });

  it('carry the name of their module, and end when the application closes', async () => {
    // With cumulative values, the SDK would repeat the last ones.
    provide(AggregationTemporality.DELTA);
    metrics.setGlobalMeterProvider(provider);
    const billing = WorkflowModule.forRoot({ name: 'billing', schema: 'billing', connection: { url: database.url }, worker: {} });
    const module = await bootApplication({ imports: [unnamed(), billing], providers: [Order, Invoice] });
    await module.get(WorkflowClient).execute(Order);
    await module.get<WorkflowClient>(getWorkflowClientToken('billing')).execute(Invoice);
    const data = await exported();
    expect(pointsOf(data, 'runs.started')).toMatchObject({ order: 1, 'billing invoice': 1 });
    expect(pointsOf(data, 'database.up')).toEqual({ '': 1, billing: 1 });
    await closeApplications();
    // Takes what was recorded before the application closed.
    await exported();
    expect([...(await exported()).keys()]).toEqual([]);
  });

  it('show 0 for a queue that has become empty', async () => {
    metrics.setGlobalMeterProvider(provider);
    const client = (await bootApplication({ imports: [unnamed()], providers: [Order] })).get(WorkflowClient);
    await client.start('unknown yet', undefined, { id: 'due' });
    expect(pointsOf(await exported(), 'due.runs')).toMatchObject({ 'default unknown yet 0': 1 });
    await client.terminate('due');
    await waitFor(async () => pointsOf(await exported(), 'due.runs')['default unknown yet 0'] === 0);
  });

  it('keep the last values of the gauges from the database while the database is away', async () => {
    metrics.setGlobalMeterProvider(provider);
    const other = await createTestDatabase();
    const imports = [WorkflowModule.forRoot({ connection: { url: other.url }, worker: {} })];
    const client = (await bootApplication({ imports, providers: [Order] })).get(WorkflowClient);
    await client.start('nobody has it', undefined);
    expect(pointsOf(await exported(), 'due.runs')).toEqual({ 'default nobody has it 0': 1 });
    await other.drop();
    await waitFor(async () => pointsOf(await exported(), 'database.up')[''] === 0);
    expect(pointsOf(await exported(), 'due.runs')).toEqual({ 'default nobody has it 0': 1 });
  });

  it('do not stop a run when the provider of the application throws', async () => {
    const fail = (): never => {
      throw new Error('broken provider');
    };
    const meter = Object.assign(Object.create(provider.getMeter('broken')) as Meter, { createHistogram: () => ({ record: fail }) });
    metrics.setGlobalMeterProvider({ getMeter: () => meter });
    const client = (await bootApplication({ imports: [unnamed()], providers: [Order] })).get(WorkflowClient);
    for (const _ of [1, 2]) await client.execute(Order);
    expect(await client.metrics()).toContain('nestjs_durable_runs_ended_total{workflow="order",status="completed"} 2');
  });

  it('do not exist when no provider was registered', async () => {
    const client = (await bootApplication({ imports: [unnamed()], providers: [Order] })).get(WorkflowClient);
    metrics.setGlobalMeterProvider(provider);
    await client.execute(Order);
    expect([...(await exported()).keys()]).toEqual([]);
    expect(await client.metrics()).toContain('nestjs_durable_runs_started_total{workflow="order"} 1');
  });
});
