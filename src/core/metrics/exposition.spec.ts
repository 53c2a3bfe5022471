import { describe, expect, it } from '@jest/globals';

import { parseExposition, valueOf } from '../../../test/support/prometheus.js';
import { DurableMetrics, defineMetric } from './durable-metrics.js';
import { toPrometheusText } from './exposition.js';
import { MAX_COMBINATIONS } from './instruments.js';

const AWKWARD = 'say "hi" to \\n\nand \\ {a="b"} 🙂';

function textOf(metrics: DurableMetrics, module?: string): string {
  const gauges = [
    { definition: defineMetric('due.age', 's', 'Help with \\ and\na second line', ['queue']), values: [[[AWKWARD], 1.5]] as const },
  ];
  return toPrometheusText({ counters: metrics.counters, histograms: metrics.histograms, gauges }, module);
}

describe('the text for Prometheus', () => {
  it('escapes labels and help, and shows every metric with HELP and TYPE', () => {
    const metrics = new DurableMetrics();
    metrics.runStarted(AWKWARD);
    metrics.stepEnded('order', `${AWKWARD}#2`, 'completed', 0.2);
    const parsed = parseExposition(textOf(metrics));
    expect(valueOf(parsed, 'nestjs_durable_runs_started_total', { workflow: AWKWARD })).toBe(1);
    expect(valueOf(parsed, 'nestjs_durable_step_duration_seconds_count', { workflow: 'order', step: AWKWARD, status: 'completed' })).toBe(
      1,
    );
    expect(valueOf(parsed, 'nestjs_durable_due_age_seconds', { queue: AWKWARD })).toBe(1.5);
    expect(parsed.get('nestjs_durable_due_age_seconds')!.help).toBe('Help with \\\\ and\\na second line');
    expect(parsed.get('nestjs_durable_flush_size_bytes')!.type).toBe('histogram');
  });

  it('counts a value into the first bucket whose bound is not smaller', () => {
    const metrics = new DurableMetrics();
    for (const seconds of [0, 0.005, 0.0051, 299, 10_000]) metrics.stepEnded('order', 'charge', 'completed', seconds);
    const parsed = parseExposition(textOf(metrics));
    const below = (le: string): number =>
      valueOf(parsed, 'nestjs_durable_step_duration_seconds_bucket', { workflow: 'order', step: 'charge', status: 'completed', le });
    expect([below('0.005'), below('0.01'), below('60'), below('300'), below('+Inf')]).toEqual([2, 3, 3, 4, 5]);
  });

  it('adds the name of the module to every sample', () => {
    const metrics = new DurableMetrics();
    metrics.runStarted('order');
    const parsed = parseExposition(textOf(metrics, 'billing'));
    for (const { samples } of parsed.values()) for (const { labels } of samples) expect(labels['module']).toBe('billing');
    expect(valueOf(parsed, 'nestjs_durable_runs_started_total', { module: 'billing', workflow: 'order' })).toBe(1);
  });

  it('keeps the number of series bounded, and every event counted', () => {
    const metrics = new DurableMetrics();
    metrics.expect(['registered']);
    const many = 10 * MAX_COMBINATIONS;
    for (let index = 0; index < many; index++) {
      metrics.runStarted(`workflow ${index}`);
      metrics.stepEnded('order', `step ${index}`, index % 2 === 0 ? 'completed' : 'failed', 1);
      metrics.claimDelayed(`queue ${index}`, 1);
    }
    metrics.runStarted('registered');
    const parsed = parseExposition(textOf(metrics));
    const started = parsed.get('nestjs_durable_runs_started_total')!.samples;
    expect(started).toHaveLength(MAX_COMBINATIONS + 1);
    expect(started.reduce((sum, { value }) => sum + value, 0)).toBe(many + 1);
    expect(valueOf(parsed, 'nestjs_durable_runs_started_total', { workflow: 'registered' })).toBe(1);
    expect(valueOf(parsed, 'nestjs_durable_runs_started_total', { workflow: 'other' })).toBe(many - MAX_COMBINATIONS + 1);
    const steps = parsed.get('nestjs_durable_step_duration_seconds')!.samples.filter(({ name }) => name.endsWith('_count'));
    expect(steps.length).toBeLessThanOrEqual(MAX_COMBINATIONS + 2);
    expect(steps.reduce((sum, { value }) => sum + value, 0)).toBe(many);
    for (const status of ['completed', 'failed'])
      expect(valueOf(parsed, 'nestjs_durable_step_duration_seconds_count', { workflow: 'other', step: 'other', status })).toBe(
        (many - MAX_COMBINATIONS) / 2,
      );
  });
});
