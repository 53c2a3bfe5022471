import type { Context, Span, SpanOptions, Tracer as OtelTracer } from '@opentelemetry/api';

import type { Warn } from '../core/log-fields.js';

type Api = typeof import('@opentelemetry/api');

/**
 * Calls the application's SDK of OpenTelemetry, which executes samplers and span processors of the
 * application. An error of this code must not reach runs, flushes or claims, so it is only logged.
 */
export class GuardedSdk {
  private hasWarned = false;

  constructor(
    private readonly api: Api,
    private readonly tracer: OtelTracer,
    private readonly warn: Warn,
  ) {}

  /**
   * Begins a span. If the SDK throws, the span records nothing and has the parent's trace context,
   * so that later spans of the trace are below the parent.
   */
  startSpan(name: string, options: SpanOptions, parent: Context): Span {
    try {
      return this.tracer.startSpan(name, options, parent);
    } catch (error) {
      this.failed(error);
      const { trace, INVALID_SPAN_CONTEXT } = this.api;
      return trace.wrapSpanContext(trace.getSpanContext(parent) ?? INVALID_SPAN_CONTEXT);
    }
  }

  /** Executes a change of a span. Never throws. */
  change(code: () => void): void {
    try {
      code();
    } catch (error) {
      this.failed(error);
    }
  }

  /** Ends a span. Never throws. */
  end(span: Span): void {
    try {
      span.end();
    } catch (error) {
      this.failed(error);
    }
  }

  /** Logs the first error. The cause of later ones is most often the same. */
  private failed(error: unknown): void {
    if (this.hasWarned) return;
    this.hasWarned = true;
    this.warn('tracing-failed', 'opentelemetry: the SDK threw; spans may be missing', error);
  }
}
