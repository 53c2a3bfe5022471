/** One sample of an exposition, with unescaped label values. */
export interface Sample {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

/** A metric of an exposition. */
export interface ParsedMetric {
  readonly help: string;
  readonly type: string;
  readonly samples: Sample[];
}

const NAME = /^[a-zA-Z_:][a-zA-Z0-9_:]*$/;
const SAMPLE = /^([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? (\S+)$/;
const LABEL = /^([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\[\\"n])*)"(?:,|$)/;
const ENDINGS: Readonly<Record<string, readonly string[]>> = { histogram: ['_bucket', '_sum', '_count'], counter: [''], gauge: [''] };

/**
 * Parses the text format of Prometheus, version 0.0.4. Throws when the text violates a rule of the
 * format: order of HELP and TYPE, names, escapes, samples that appear twice, buckets that decrease.
 */
export function parseExposition(text: string): ReadonlyMap<string, ParsedMetric> {
  if (!text.endsWith('\n')) throw new Error('the last line does not end with a line feed');
  const metrics = new Map<string, ParsedMetric>();
  const seen = new Set<string>();
  let current: [name: string, metric: ParsedMetric] | undefined;
  let help: [name: string, text: string] | undefined;
  for (const line of text.slice(0, -1).split('\n')) {
    const [, comment, name = '', rest = ''] = /^# (HELP|TYPE) (\S+) (.+)$/.exec(line) ?? [];
    if (comment !== undefined && !NAME.test(name)) throw new Error(`invalid name: ${line}`);
    if (comment === 'HELP') help = [name, rest];
    else if (comment === 'TYPE') {
      if (help?.[0] !== name) throw new Error(`TYPE without HELP: ${line}`);
      if (metrics.has(name)) throw new Error(`the metric appears twice: ${line}`);
      if (!(rest in ENDINGS)) throw new Error(`unknown type: ${line}`);
      current = [name, { help: help[1], type: rest, samples: [] }];
      metrics.set(...current);
    } else {
      const sample = parseSample(line);
      const identity = identityOf(sample);
      if (seen.has(identity)) throw new Error(`the sample appears twice: ${line}`);
      seen.add(identity);
      if (!current || !ENDINGS[current[1].type]!.some((ending) => current![0] + ending === sample.name))
        throw new Error(`the sample does not follow its TYPE: ${line}`);
      current[1].samples.push(sample);
    }
  }
  for (const [name, { type, samples }] of metrics) if (type === 'histogram') checkBuckets(name, samples);
  return metrics;
}

function parseSample(line: string): Sample {
  const [, name, list = '', value] = SAMPLE.exec(line) ?? [];
  if (name === undefined) throw new Error(`not a sample: ${line}`);
  const labels: Record<string, string> = {};
  for (let rest = list; rest !== '';) {
    const [all, label, text] = LABEL.exec(rest) ?? [];
    if (all === undefined) throw new Error(`invalid labels: ${line}`);
    if (Object.hasOwn(labels, label!)) throw new Error(`the label appears twice: ${line}`);
    labels[label!] = text!.replaceAll(/\\([\\"n])/g, (_, escaped: string) => (escaped === 'n' ? '\n' : escaped));
    rest = rest.slice(all.length);
  }
  const number = value === '+Inf' ? Number.POSITIVE_INFINITY : Number(value);
  if (Number.isNaN(number)) throw new Error(`not a number: ${line}`);
  return { name, labels, value: number };
}

function checkBuckets(name: string, samples: readonly Sample[]): void {
  const series = new Map<string, Sample[]>();
  for (const sample of samples) {
    const { le: _, ...labels } = sample.labels;
    const key = JSON.stringify(labels);
    series.set(key, [...(series.get(key) ?? []), sample]);
  }
  for (const [key, each] of series) {
    const buckets = each.filter((sample) => sample.name === `${name}_bucket`);
    const bounds = buckets.map(({ labels }) => (labels['le'] === '+Inf' ? Number.POSITIVE_INFINITY : Number(labels['le'])));
    const count = each.find((sample) => sample.name === `${name}_count`)?.value;
    const isOrdered = buckets.every(
      ({ value }, index) => index === 0 || (value >= buckets[index - 1]!.value && bounds[index]! > bounds[index - 1]!),
    );
    if (!isOrdered || bounds.at(-1) !== Number.POSITIVE_INFINITY || buckets.at(-1)!.value !== count)
      throw new Error(`the buckets of ${name} ${key} are invalid`);
  }
}

/** Returns a text that is the same for two samples only if their names and labels are the same. */
function identityOf({ name, labels }: Pick<Sample, 'name' | 'labels'>): string {
  return JSON.stringify([
    name,
    ...Object.keys(labels)
      .sort((one, other) => one.localeCompare(other))
      .map((key) => [key, labels[key]]),
  ]);
}

/** Returns the value of a sample with exactly these labels; 0 when there is no such sample. */
export function valueOf(metrics: ReadonlyMap<string, ParsedMetric>, name: string, labels: Readonly<Record<string, string>> = {}): number {
  const wanted = identityOf({ name, labels });
  for (const { samples } of metrics.values()) for (const sample of samples) if (identityOf(sample) === wanted) return sample.value;
  return 0;
}
