import type { CounterFamily, GaugeReading, HistogramFamily, LabelValues, MetricDefinition } from './instruments.js';

/** Metrics at one moment. */
export interface MetricsSnapshot {
  readonly counters: readonly CounterFamily[];
  readonly histograms: readonly HistogramFamily[];
  readonly gauges: readonly GaugeReading[];
}

/** Endings of Prometheus names, by unit. A unit such as `{run}` only describes what is counted. */
const UNIT_ENDINGS: Readonly<Record<string, string>> = { s: '_seconds', By: '_bytes' };

/**
 * Returns the name of a metric for Prometheus: `nestjs_durable_step_duration_seconds` for
 * `nestjs_durable.step.duration` with the unit `s`.
 */
function prometheusName({ name, unit }: MetricDefinition, kind: 'counter' | 'gauge' | 'histogram'): string {
  return name.replaceAll('.', '_') + (UNIT_ENDINGS[unit] ?? '') + (kind === 'counter' ? '_total' : '');
}

/**
 * Writes metrics in the text format of Prometheus, version 0.0.4.
 *
 * @param module name of the module, for the label `module`; undefined for the module without a name
 */
export function toPrometheusText({ counters, histograms, gauges }: MetricsSnapshot, module: string | undefined): string {
  const lines: string[] = [];
  const common = module === undefined ? [] : [label('module', module)];
  const begin = (definition: MetricDefinition, kind: 'counter' | 'gauge' | 'histogram'): string => {
    const name = prometheusName(definition, kind);
    lines.push(`# HELP ${name} ${escapeHelp(definition.help)}`, `# TYPE ${name} ${kind}`);
    return name;
  };
  const labelsOf = ({ labels }: MetricDefinition, values: LabelValues): string[] => [
    ...common,
    ...labels.map((name, index) => label(name, values[index] ?? '')),
  ];
  for (const { definition, cells } of counters) {
    const name = begin(definition, 'counter');
    for (const { labels, value } of cells) lines.push(sample(name, labelsOf(definition, labels), value));
  }
  for (const { definition, bounds, cells } of histograms) {
    const name = begin(definition, 'histogram');
    for (const { labels, buckets, sum, count } of cells) {
      const own = labelsOf(definition, labels);
      let below = 0;
      for (const [index, bound] of [...bounds, Number.POSITIVE_INFINITY].entries()) {
        below += buckets[index]!;
        lines.push(sample(`${name}_bucket`, [...own, label('le', format(bound))], below));
      }
      lines.push(sample(`${name}_sum`, own, sum), sample(`${name}_count`, own, count));
    }
  }
  for (const { definition, values } of gauges) {
    const name = begin(definition, 'gauge');
    for (const [labels, value] of values) lines.push(sample(name, labelsOf(definition, labels), value));
  }
  return `${lines.join('\n')}\n`;
}

function sample(name: string, labels: readonly string[], value: number): string {
  return `${name}${labels.length === 0 ? '' : `{${labels.join(',')}}`} ${format(value)}`;
}

function format(value: number): string {
  if (value === Number.POSITIVE_INFINITY) return '+Inf';
  return value === Number.NEGATIVE_INFINITY ? '-Inf' : String(value);
}

function label(name: string, value: string): string {
  return `${name}="${value.replaceAll('\\', '\\\\').replaceAll('\n', '\\n').replaceAll('"', '\\"')}"`;
}

function escapeHelp(text: string): string {
  return text.replaceAll('\\', '\\\\').replaceAll('\n', '\\n');
}
