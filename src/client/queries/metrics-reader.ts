import type { DurableMetrics } from '../../core/metrics/durable-metrics.js';
import { toPrometheusText } from '../../core/metrics/exposition.js';
import type { GaugeReading } from '../../core/metrics/instruments.js';
import type { DatabaseGauges } from './database-gauges.js';

/** Reads all metrics of a module: of this process, and of the database. */
export class MetricsReader {
  constructor(
    readonly metrics: DurableMetrics,
    /** Returns the gauges of this process. */
    readonly processGauges: () => readonly GaugeReading[],
    readonly databaseGauges: Pick<DatabaseGauges, 'read'>,
    private readonly module: string | undefined,
  ) {}

  /** Returns the metrics in the text format of Prometheus. */
  async text(): Promise<string> {
    const fromDatabase = await this.databaseGauges.read();
    const { counters, histograms } = this.metrics;
    return toPrometheusText({ counters, histograms, gauges: [...this.processGauges(), ...fromDatabase] }, this.module);
  }
}
