import type { Meter, Observable } from '@opentelemetry/api';

import type { MetricsReader } from '../client/queries/metrics-reader.js';
import { DATABASE_GAUGES } from '../client/queries/database-gauges.js';
import type { Warn } from '../core/log-fields.js';
import type { GaugeReading, LabelValues, MetricDefinition } from '../core/metrics/instruments.js';
import { loadOpenTelemetryApi } from './opentelemetry-api.js';
import { PROCESS_GAUGES } from './process-gauges.js';

const METER = 'nestjs-durable';

/** Maximum number of combinations of labels that are remembered for each gauge. */
const MAX_REMEMBERED = 1_000;

type Attributes = Record<string, string>;

/**
 * Exports the metrics of a module to OpenTelemetry, if the application has registered a
 * MeterProvider. Does nothing when `@opentelemetry/api` is not installed, or when the application
 * has registered no provider.
 *
 * @param module the module's name, for the attribute `module`; undefined for the module without a
 *   name
 * @returns a function that stops the export; undefined when nothing is exported
 */
export async function exportMetrics(reader: MetricsReader, module: string | undefined, warn: Warn): Promise<(() => void) | undefined> {
  const api = await loadOpenTelemetryApi();
  if (!api) return undefined;
  try {
    const meter = api.metrics.getMeter(METER);
    return meter === api.createNoopMeter() ? undefined : exportTo(meter, reader, module, warn);
  } catch (error) {
    warn('metrics-not-exported', 'opentelemetry: the metrics are not exported', error);
    return undefined;
  }
}

function exportTo(
  meter: Meter,
  { metrics, processGauges, databaseGauges }: MetricsReader,
  module: string | undefined,
  warn: Warn,
): () => void {
  const attributesOf = ({ labels }: MetricDefinition, values: LabelValues): Attributes => {
    const attributes: Attributes = module === undefined ? {} : { module };
    for (const [index, label] of labels.entries()) attributes[label] = values[index] ?? '';
    return attributes;
  };
  for (const family of metrics.histograms) {
    const { definition, bounds } = family;
    const histogram = meter.createHistogram(definition.name, {
      ...optionsOf(definition),
      advice: { explicitBucketBoundaries: [...bounds] },
    });
    // Each combination of labels has one array of values, so its attributes are created only once.
    const known = new WeakMap<LabelValues, Attributes>();
    family.mirror = (value, labels) => {
      let attributes = known.get(labels);
      if (!attributes) known.set(labels, (attributes = attributesOf(definition, labels)));
      try {
        histogram.record(value, attributes);
      } catch (error) {
        // A provider that throws must not stop the run whose result has just become durable.
        family.mirror = undefined;
        warn('metrics-not-exported', `opentelemetry: ${definition.name} is not exported any more`, error);
      }
    };
  }
  const counters = metrics.counters.map((family) => ({
    family,
    instrument: meter.createObservableCounter(family.definition.name, optionsOf(family.definition)),
  }));
  const gauges = new Map<MetricDefinition, Observable>(
    [...PROCESS_GAUGES, ...DATABASE_GAUGES].map((definition) => [
      definition,
      meter.createObservableGauge(definition.name, optionsOf(definition)),
    ]),
  );
  const vanished = new Vanished();
  type Callback = Parameters<Meter['addBatchObservableCallback']>[0];
  const observe: Callback = async (result) => {
    const readings: readonly GaugeReading[] = [...processGauges(), ...(await databaseGauges.read())];
    for (const { family, instrument } of counters) {
      for (const { labels, value } of family.cells) result.observe(instrument, value, attributesOf(family.definition, labels));
    }
    for (const reading of readings) {
      const { definition } = reading;
      const instrument = gauges.get(definition);
      if (!instrument) continue;
      for (const [labels, value] of reading.values) result.observe(instrument, value, attributesOf(definition, labels));
      for (const labels of vanished.since(reading)) result.observe(instrument, 0, attributesOf(definition, labels));
    }
  };
  const observed: Observable[] = [...counters.map(({ instrument }) => instrument), ...gauges.values()];
  meter.addBatchObservableCallback(observe, observed);
  return () => {
    for (const family of metrics.histograms) family.mirror = undefined;
    try {
      meter.removeBatchObservableCallback(observe, observed);
    } catch (error) {
      // A provider that throws must not keep the module from closing its worker.
      warn('metrics-not-exported', 'opentelemetry: the provider threw when the export ended', error);
    }
  };
}

/**
 * Remembers the combinations of labels that gauges have had. The SDK repeats the last value of a
 * combination that is no longer observed. So a queue that has become empty must be observed as 0.
 */
class Vanished {
  private readonly known = new Map<MetricDefinition, Map<string, LabelValues>>();

  /** Returns combinations that earlier readings of the gauge had, and that this reading lacks. */
  since({ definition, values }: GaugeReading): LabelValues[] {
    let known = this.known.get(definition);
    if (!known) this.known.set(definition, (known = new Map()));
    const present = new Set<string>();
    for (const [labels] of values) {
      const key = labels.join('\n');
      present.add(key);
      known.set(key, labels);
    }
    const missing = [...known].filter(([key]) => !present.has(key));
    for (const [key] of missing.slice(0, Math.max(0, known.size - MAX_REMEMBERED))) known.delete(key);
    return missing.map(([, labels]) => labels);
  }
}

function optionsOf({ help, unit }: MetricDefinition): { description: string; unit: string } {
  return { description: help, unit };
}
