import { readFileSync } from 'node:fs';

/** A span, as a test's exporter wrote it. */
export interface SpanRecord {
  readonly event: 'start' | 'end';
  readonly traceId: string;
  readonly spanId: string;
  readonly parentId: string | undefined;
  readonly name: string;
  readonly kind: number;
  readonly scope: string;
  readonly attributes: Readonly<Record<string, unknown>>;
  readonly status: { readonly code: number; readonly message?: string };
  readonly links: readonly { readonly spanId: string; readonly attributes: Readonly<Record<string, unknown>> }[];
}

/** Spans of one or several processes. */
export class TraceTree {
  readonly spans: readonly SpanRecord[];

  private constructor(private readonly records: readonly SpanRecord[]) {
    this.spans = records.filter(({ event }) => event === 'end');
  }

  /** Reads the files that the exporters of several processes have written. */
  static read(files: readonly string[]): TraceTree {
    const lines = files.flatMap((file) => readFileSync(file, 'utf8').split('\n'));
    return new TraceTree(lines.filter((line) => line !== '').map((line) => JSON.parse(line) as SpanRecord));
  }

  /** The first span with this name. */
  find(name: string): SpanRecord {
    const span = this.spans.find((each) => each.name === name);
    if (!span) throw new Error(`there is no span "${name}" among ${this.names().join(', ')}`);
    return span;
  }

  names(spans: readonly SpanRecord[] = this.spans): string[] {
    return spans.map(({ name }) => name);
  }

  ofTrace(traceId: string): SpanRecord[] {
    return this.spans.filter((span) => span.traceId === traceId);
  }

  childrenOf({ spanId }: SpanRecord): SpanRecord[] {
    return this.spans.filter((span) => span.parentId === spanId);
  }

  /** Spans that have no parent. */
  get roots(): SpanRecord[] {
    return this.spans.filter(({ parentId }) => parentId === undefined);
  }

  /** Spans whose parent was never exported. */
  get orphans(): SpanRecord[] {
    const known = new Set(this.spans.map(({ spanId }) => spanId));
    return this.spans.filter(({ parentId }) => parentId !== undefined && !known.has(parentId));
  }

  /** Spans that began and did not end. */
  get unended(): SpanRecord[] {
    const ended = new Set(this.spans.map(({ spanId }) => spanId));
    return this.records.filter(({ event, spanId }) => event === 'start' && !ended.has(spanId));
  }
}
