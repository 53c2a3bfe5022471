/** Name, unit and labels of a metric. */
export interface MetricDefinition {
  /**
   * Name in OpenTelemetry's style, such as `nestjs_durable.step.duration`. The name for Prometheus
   * is derived from this name and the unit.
   */
  readonly name: string;
  readonly help: string;
  /** Unit in the notation of UCUM, such as `s`, `By` or `{run}`. */
  readonly unit: string;
  readonly labels: readonly string[];
}

/** Values of a metric's labels, in the order of the definition. */
export type LabelValues = readonly string[];

/** Copies each observed value of a histogram to another system. */
export type Mirror = (value: number, labels: LabelValues) => void;

/** Maximum number of label combinations of one metric. Further combinations share one: `other`. */
export const MAX_COMBINATIONS = 200;

/** Value of labels whose own values would exceed `MAX_COMBINATIONS`. */
export const OTHER = 'other';

/** Counter for one combination of labels. */
export class Counter {
  value = 0;

  constructor(readonly labels: LabelValues) {}

  add(amount = 1): void {
    this.value += amount;
  }
}

/** Histogram for one combination of labels. */
export class Histogram {
  sum = 0;
  count = 0;
  /** Number of observed values per bucket. The last bucket has no upper bound. */
  readonly buckets: number[];

  constructor(
    readonly labels: LabelValues,
    private readonly family: { readonly bounds: readonly number[]; readonly mirror: Mirror | undefined },
  ) {
    this.buckets = Array.from({ length: family.bounds.length + 1 }, () => 0);
  }

  observe(value: number): void {
    const { bounds, mirror } = this.family;
    let bucket = 0;
    while (bucket < bounds.length && value > bounds[bucket]!) bucket++;
    this.buckets[bucket]!++;
    this.sum += value;
    this.count++;
    mirror?.(value, this.labels);
  }
}

/**
 * All combinations of labels of one metric, up to a limit. A lookup of a known combination
 * allocates nothing.
 */
abstract class Family<Cell> {
  readonly cells: Cell[] = [];
  private readonly index = new Map<string, Map<string, Map<string, Cell>>>();
  /** Number of combinations of the labels whose values the application chooses. */
  private combinations = 0;

  constructor(
    readonly definition: MetricDefinition,
    /**
     * Number of the first labels whose values the application chooses, such as names of workflows.
     * Only these labels are replaced by `other`.
     */
    private readonly chosen: number,
  ) {}

  /** Returns the cell of a combination of labels. A label that the metric lacks is empty. */
  cell(first = '', second = '', third = ''): Cell {
    const found = this.index.get(first)?.get(second)?.get(third);
    if (found) return found;
    if (this.isNewCombination(first, second)) {
      if (this.combinations >= MAX_COMBINATIONS) return this.add(OTHER, this.chosen > 1 ? OTHER : second, third);
      this.combinations++;
    }
    return this.add(first, second, third);
  }

  protected abstract create(labels: LabelValues): Cell;

  private isNewCombination(first: string, second: string): boolean {
    if (this.chosen === 0) return false;
    const known = this.index.get(first);
    return known === undefined || (this.chosen > 1 && !known.has(second));
  }

  private add(first: string, second: string, third: string): Cell {
    let seconds = this.index.get(first);
    if (!seconds) this.index.set(first, (seconds = new Map()));
    let thirds = seconds.get(second);
    if (!thirds) seconds.set(second, (thirds = new Map()));
    let cell = thirds.get(third);
    if (!cell) {
      cell = this.create([first, second, third].slice(0, this.definition.labels.length));
      thirds.set(third, cell);
      this.cells.push(cell);
    }
    return cell;
  }
}

/** Counter with labels. */
export class CounterFamily extends Family<Counter> {
  protected create(labels: LabelValues): Counter {
    return new Counter(labels);
  }
}

/** Histogram with labels. */
export class HistogramFamily extends Family<Histogram> {
  /** Receives each observed value; undefined while nobody copies them. */
  mirror: Mirror | undefined;

  /** @param bounds inclusive upper bounds of the buckets, in ascending order */
  constructor(
    definition: MetricDefinition,
    readonly bounds: readonly number[],
    chosen: number,
  ) {
    super(definition, chosen);
  }

  protected create(labels: LabelValues): Histogram {
    return new Histogram(labels, this);
  }
}

/** Values of a gauge at one moment, each with its labels. */
export interface GaugeReading {
  readonly definition: MetricDefinition;
  readonly values: readonly (readonly [labels: LabelValues, value: number])[];
}
