import { context, trace, type Span } from '@opentelemetry/api';
import { AsyncLocalStorageContextManager } from '@opentelemetry/context-async-hooks';
import { BasicTracerProvider, type ReadableSpan, type Sampler, type SpanProcessor } from '@opentelemetry/sdk-trace-base';

/** An SDK of OpenTelemetry in this process, which keeps the spans in memory. */
export class TestTracing implements SpanProcessor {
  readonly ended: ReadableSpan[] = [];
  private readonly open = new Set<string>();

  private constructor() {}

  /**
   * Registers the SDK, before the test boots an application.
   *
   * @param processors further span processors
   */
  static register(sampler?: Sampler, ...processors: SpanProcessor[]): TestTracing {
    const tracing = new TestTracing();
    context.setGlobalContextManager(new AsyncLocalStorageContextManager().enable());
    const spanProcessors = [tracing, ...processors];
    trace.setGlobalTracerProvider(new BasicTracerProvider({ spanProcessors, ...(sampler ? { sampler } : {}) }));
    return tracing;
  }

  /** Takes the SDK away. Applications that boot later are not traced. */
  static unregister(): void {
    context.disable();
    trace.disable();
  }

  /** Executes code in a root span, as instrumentations do for a request. */
  async request<T>(code: (span: Span) => Promise<T>): Promise<T> {
    return trace.getTracer('test').startActiveSpan('request', { root: true }, async (span) => {
      try {
        return await code(span);
      } finally {
        span.end();
      }
    });
  }

  /** Spans that began and have not ended. */
  get unended(): number {
    return this.open.size;
  }

  named(name: string): ReadableSpan[] {
    return this.ended.filter((span) => span.name === name);
  }

  /** Names of the spans of a trace. */
  namesIn(span: Span): string[] {
    const { traceId } = span.spanContext();
    return this.ended.filter((each) => each.spanContext().traceId === traceId).map(({ name }) => name);
  }

  onStart(span: { spanContext(): { spanId: string } }): void {
    this.open.add(span.spanContext().spanId);
  }

  onEnd(span: ReadableSpan): void {
    this.open.delete(span.spanContext().spanId);
    this.ended.push(span);
  }

  async forceFlush(): Promise<void> {}

  async shutdown(): Promise<void> {}
}
