import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';

import { defineSignal, NonRetryableError, Workflow, type WorkflowContext } from '../../src/index.js';
import { isPushed, startApplication, type TestApplication } from '../support/application.js';
import { createTestDatabase, type TestDatabase } from '../support/database.js';
import { parseExposition, valueOf, type ParsedMetric } from '../support/prometheus.js';
import { waitFor } from '../support/wait.js';

const go = defineSignal('go');

@Workflow({ name: 'order' })
class Order {
  async run(input: { items: number; fails?: boolean }, ctx: WorkflowContext): Promise<void> {
    for (let item = 0; item < input.items; item++) await ctx.step('pack', () => undefined);
    let tries = 0;
    await ctx.step('ship', { retry: { maxAttempts: 3, initialInterval: 1 } }, () => {
      if (++tries < 3) throw new Error('not yet');
    });
    if (input.fails) await ctx.step('charge', { key: 'card' }, () => Promise.reject(new NonRetryableError('no money')));
  }
}

@Workflow({ name: 'waiting' })
class Waiting {
  async run(_input: void, ctx: WorkflowContext): Promise<void> {
    await ctx.waitForSignal(go);
  }
}

@Workflow({ name: 'counting down' })
class CountingDown {
  async run(from: number, ctx: WorkflowContext): Promise<number> {
    if (from === 0) return ctx.invoke(Child);
    return ctx.continueAsNew(CountingDown, from - 1);
  }
}

@Workflow({ name: 'child' })
class Child {
  async run(): Promise<number> {
    return 1;
  }
}

/** Labels of a gauge about due runs. */
const unknown = (name: string) => ({ queue: 'default', workflow: name, version: '0' });

describe('client.metrics()', () => {
  let app: TestApplication;
  let database: TestDatabase;
  beforeAll(async () => {
    database = await createTestDatabase();
    app = await startApplication(database.url, [Order, Waiting, CountingDown, Child], { worker: { suspendAfter: 20 } });
  });
  afterAll(async () => {
    await app.close();
    await database.drop();
  });

  type Metrics = ReadonlyMap<string, ParsedMetric>;
  const read = async (): Promise<Metrics> => parseExposition(await app.client.metrics());
  const of = (metrics: Metrics, name: string, labels: Record<string, string> = {}): number =>
    valueOf(metrics, `nestjs_durable_${name}`, labels);
  /** Reads metrics until the condition holds. Gauges from the database are reused for 5 s. */
  const readUntil = (holds: (metrics: Metrics) => boolean): Promise<Metrics> =>
    waitFor(async () => {
      const metrics = await read();
      return holds(metrics) ? metrics : undefined;
    });

  const suspended = (metrics: Metrics): number => of(metrics, 'runs_suspended_total', { workflow: 'waiting' });

  it('counts runs, steps and attempts as they happened', async () => {
    const before = await read();
    expect(of(before, 'runs_ended_total', { workflow: 'order', status: 'failed' })).toBe(0);
    expect(before.get('nestjs_durable_runs_ended_total')!.samples.map(({ labels }) => labels['workflow'])).toContain('order');
    await app.client.execute(Order, { items: 3 });
    await app.client.execute(Order, { items: 2 });
    await expect(app.client.execute(Order, { items: 1, fails: true })).rejects.toThrow();
    const metrics = await read();
    expect(of(metrics, 'runs_started_total', { workflow: 'order' })).toBe(3);
    expect(of(metrics, 'runs_ended_total', { workflow: 'order', status: 'completed' })).toBe(2);
    expect(of(metrics, 'runs_ended_total', { workflow: 'order', status: 'failed' })).toBe(1);
    expect(of(metrics, 'run_duration_seconds_count', { workflow: 'order', status: 'completed' })).toBe(2);
    const steps = (step: string, status: string): number => of(metrics, 'step_duration_seconds_count', { workflow: 'order', step, status });
    expect([steps('pack', 'completed'), steps('ship', 'completed'), steps('charge', 'failed')]).toEqual([6, 3, 1]);
    const attempts = (step: string, outcome: string): number => of(metrics, 'step_attempts_total', { workflow: 'order', step, outcome });
    expect([attempts('pack', 'completed'), attempts('pack', 'failed')]).toEqual([6, 0]);
    expect([attempts('ship', 'completed'), attempts('ship', 'failed')]).toEqual([3, 6]);
    expect([attempts('charge', 'completed'), attempts('charge', 'failed')]).toEqual([0, 1]);
    expect(of(metrics, 'flush_failures_total')).toBe(0);
    const { runs, steps: recorded } = await written();
    const transitions = of(metrics, 'flush_transitions_sum') - of(before, 'flush_transitions_sum');
    // A run has a start and an end, and each step has a result.
    expect(transitions).toBeGreaterThanOrEqual(2 * runs + recorded);
  });

  const written = async (): Promise<{ runs: number; steps: number }> => {
    const [row] = await database.query<{ runs: number; steps: number }>(
      `SELECT (SELECT count(*)::int FROM durable.workflow_runs WHERE name = 'order') AS runs, (SELECT count(*)::int FROM durable.workflow_steps) AS steps`,
    );
    return row!;
  };

  it('counts continued runs, children, and runs that end without their code', async () => {
    const before = await read();
    await app.client.execute(CountingDown, 2);
    const forked = await app.client.start(Child);
    await app.client.start(Waiting, undefined, { id: 'to cancel', delay: '1 hour' });
    await app.client.cancel('to cancel');
    await app.client.fork(forked.runId);
    await app.client.start(Waiting, undefined, { id: 'to terminate' });
    await readUntil((metrics) => suspended(metrics) === 1);
    await app.client.terminate('to terminate');
    const ended = (metrics: Metrics, workflow: string, status: string): number => of(metrics, 'runs_ended_total', { workflow, status });
    const metrics = await readUntil((each) => ended(each, 'waiting', 'cancelled') >= 2 && ended(each, 'child', 'completed') >= 3);
    expect(of(metrics, 'runs_started_total', { workflow: 'counting down' })).toBe(3);
    expect(of(metrics, 'runs_started_total', { workflow: 'child' })).toBe(3);
    expect(of(metrics, 'runs_started_total', { workflow: 'waiting' })).toBe(2);
    expect([ended(metrics, 'counting down', 'continued'), ended(metrics, 'counting down', 'completed')]).toEqual([2, 1]);
    expect([ended(metrics, 'child', 'completed'), ended(metrics, 'waiting', 'cancelled')]).toEqual([3, 2]);
    expect(ended(before, 'waiting', 'cancelled')).toBe(0);
  });

  it('counts a claim for each suspended run that continues', async () => {
    const before = await read();
    const handle = await app.client.start(Waiting, undefined);
    await waitFor(async () => (await handle.status()) === 'waiting');
    await readUntil((metrics) => suspended(metrics) === suspended(before) + 1);
    await handle.signal(go);
    await handle.result();
    const metrics = await read();
    expect(of(metrics, 'claim_runs_sum')).toBeGreaterThan(of(before, 'claim_runs_sum'));
    expect(of(metrics, 'claim_delay_seconds_count', { queue: 'default' })).toBeGreaterThan(
      of(before, 'claim_delay_seconds_count', { queue: 'default' }),
    );
  });

  it('shows due, sleeping, waiting and failed runs, with names that need an escape', async () => {
    const name = 'no "such"\\workflow';
    for (const _ of [1, 2, 3]) await app.client.start(name, undefined);
    await app.client.start(Waiting, undefined, { delay: '1 hour' });
    const handle = await app.client.start(Waiting, undefined);
    await waitFor(async () => (await handle.status()) === 'waiting');
    await app.client.pause(handle.runId);
    await handle.signal(go);
    const metrics = await readUntil(
      (each) => of(each, 'due_runs', unknown(name)) === 3 && of(each, 'open_waits', { kind: 'signal' }) === 1,
    );
    expect(of(metrics, 'database_up')).toBe(1);
    expect(of(metrics, 'unregistered_runs', unknown(name))).toBe(3);
    expect(of(metrics, 'due_age_seconds', unknown(name))).toBeGreaterThan(0);
    expect(of(metrics, 'sleeping_runs', { workflow: 'waiting' })).toBe(1);
    expect(of(metrics, 'failed_runs', { workflow: 'order' })).toBe(1);
    expect(of(metrics, 'inbox_messages')).toBeGreaterThanOrEqual(1);
    expect(of(metrics, 'worker_up')).toBe(1);
  });

  it(isPushed() ? 'counts what QStash was told, and what it delivered' : 'shows a connected direct connection and a session', async () => {
    const metrics = await readUntil((each) => isPushed() || of(each, 'sessions', { state: 'alive' }) === 1);
    if (!isPushed()) return expect(of(metrics, 'listen_connected')).toBe(1);
    expect(of(metrics, 'qstash_messages_total', { outcome: 'accepted' })).toBeGreaterThan(0);
    const delivered = metrics.get('nestjs_durable_qstash_deliveries_total')!.samples;
    expect(delivered.map(({ labels }) => labels['outcome'])).toEqual(
      expect.arrayContaining([process.env['DURABLE_CONFORMANCE'] === 'both' ? 'notified' : 'executed']),
    );
  });
});
