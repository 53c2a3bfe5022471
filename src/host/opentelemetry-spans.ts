import type { Context, Link, Span, SpanContext } from '@opentelemetry/api';

import type { OwnedRun } from '../core/run.js';
import type { AttemptSpan, PassOutcomeName, PassSpan, SendSpan, TraceScope } from '../core/tracing.js';
import type { GuardedSdk } from './opentelemetry-guard.js';
import { errorTypeOf, passAttributes, startAttributes, stepAttributes, waitAttributes } from './span-attributes.js';
import { fromStored, toStored } from './trace-context.js';
import type { OpenTelemetryApi } from './opentelemetry-api.js';

/** Short name of the API's type in this folder. */
export type Api = OpenTelemetryApi;

/** Maximum number of links of a span, as in the SDK's default limits. */
const MAX_LINKS = 128;

/** Objects that all spans of a tracer share. */
export interface Tracing {
  readonly api: Api;
  readonly sdk: GuardedSdk;
  /** Key of the active span in a context. */
  readonly spanKey: symbol;
  /** Spans of the passes that this process executes, by run id. */
  readonly passes: Map<string, OtelPassSpan>;
}

/**
 * A span, which is also the context in which the span is the active one. OpenTelemetry's own
 * context is a large object with a Map and three functions, and a run would keep several of them.
 */
class OtelScope implements TraceScope, Context {
  constructor(
    protected readonly tracing: Tracing,
    readonly span: Span,
    /** Context of all other values. */
    private readonly around: Context,
  ) {}

  within<T, Args extends unknown[]>(code: (...args: Args) => T, ...args: Args): T {
    return this.tracing.api.context.with(this, code, undefined, ...args);
  }

  getValue(key: symbol): unknown {
    return key === this.tracing.spanKey ? this.span : this.around.getValue(key);
  }

  setValue(key: symbol, value: unknown): Context {
    return this.context.setValue(key, value);
  }

  deleteValue(key: symbol): Context {
    return this.context.deleteValue(key);
  }

  private get context(): Context {
    return this.tracing.api.trace.setSpan(this.around, this.span);
  }
}

/** Returns the key under which OpenTelemetry stores the active span in a context. */
export function spanKeyOf({ trace, ROOT_CONTEXT }: Api): symbol {
  let spanKey: symbol | undefined;
  const setValue = (): Context => ROOT_CONTEXT;
  trace.getSpan({ getValue: (key) => void (spanKey = key), setValue, deleteValue: setValue });
  return spanKey!;
}

/** Ends a span; an error sets its status. */
export function endSpan({ api, sdk }: Tracing, span: Span, error: unknown): void {
  if (error !== undefined) {
    sdk.change(() => span.setAttribute('error.type', errorTypeOf(error)).setStatus({ code: api.SpanStatusCode.ERROR }));
  }
  sdk.end(span);
}

/** Span of a call that creates a run or sends a message. */
export class OtelSendSpan extends OtelScope implements SendSpan {
  get traceContext(): string | null {
    return toStored(this.tracing.api, this.span.spanContext());
  }

  end(error?: unknown): void {
    endSpan(this.tracing, this.span, error);
  }
}

class OtelAttemptSpan extends OtelScope implements AttemptSpan {
  private hasEnded = false;

  succeeded(): void {
    this.end(undefined);
  }

  failed(error: unknown): void {
    this.end(error ?? 'no error', 'failed');
  }

  aborted(): void {
    this.end(undefined, 'aborted');
  }

  private end(error: unknown, outcome?: 'failed' | 'aborted'): void {
    if (this.hasEnded) return;
    this.hasEnded = true;
    const { tracing, span } = this;
    if (outcome) tracing.sdk.change(() => span.setAttribute('nestjs_durable.step.outcome', outcome));
    endSpan(tracing, span, error);
  }
}

/** Attempt of a pass that is not sampled: a span of its own would not be recorded either. */
class UnrecordedAttempt implements AttemptSpan {
  constructor(private readonly pass: TraceScope) {}

  within<T, Args extends unknown[]>(code: (...args: Args) => T, ...args: Args): T {
    return this.pass.within(code, ...args);
  }

  succeeded(): void {}

  failed(): void {}

  aborted(): void {}
}

/** Span of one execution of the workflow function (a pass). */
export class OtelPassSpan extends OtelScope implements PassSpan {
  private hasEnded = false;
  private links = 0;
  private readonly isRecording: boolean;

  /**
   * @param origin context of the span that started the run; undefined when the start was not traced
   * @param parent context of the parent of everything that the run does: the span that started the
   *   run. This span has ended before the run begins, so it is exported even if this process is
   *   killed. The span of the pass would be lost then, and with it the parent of steps and
   *   children. Undefined when the start was not traced; the parent is then the pass
   */
  private constructor(
    tracing: Tracing,
    span: Span,
    private readonly runId: string,
    private readonly origin: SpanContext | undefined,
    private readonly parent: Context | undefined,
  ) {
    super(tracing, span, tracing.api.ROOT_CONTEXT);
    this.isRecording = span.isRecording();
    tracing.passes.set(runId, this);
  }

  static begin(tracing: Tracing, run: OwnedRun, links: Link[] | undefined): OtelPassSpan {
    const { api, sdk } = tracing;
    const { id, name, queue, version, epoch } = run;
    const origin = fromStored(api, run.traceContext);
    const parent = origin && new OtelScope(tracing, api.trace.wrapSpanContext(origin), api.ROOT_CONTEXT);
    const attributes = passAttributes(id, epoch, name, version, queue);
    const options = { kind: api.SpanKind.CONSUMER, attributes, ...(links ? { links } : {}) };
    const span = sdk.startSpan(`process ${name}`, options, parent ?? api.ROOT_CONTEXT);
    return new OtelPassSpan(tracing, span, id, origin, parent);
  }

  /** Context of the span to which the durable effects of the run belong. */
  get spanContext(): SpanContext {
    return this.origin ?? this.span.spanContext();
  }

  attempt(name: string, stepKey: string, attempt: number): AttemptSpan {
    if (!this.isRecording) return new UnrecordedAttempt(this);
    const attributes = stepAttributes(this.runId, stepKey, attempt);
    // The kind is INTERNAL, which is the default.
    const span = this.tracing.sdk.startSpan(`step ${name}`, { attributes }, this.parent ?? this);
    return new OtelAttemptSpan(this.tracing, span, this.tracing.api.ROOT_CONTEXT);
  }

  starts({ id, name }: { readonly id: string; readonly name: string }): string | null {
    const { api, sdk } = this.tracing;
    const options = { kind: api.SpanKind.PRODUCER, attributes: startAttributes('start', id, name) };
    const span = sdk.startSpan(`start ${name}`, options, this.parent ?? this);
    sdk.end(span);
    return toStored(api, span.spanContext());
  }

  waited(kind: string, stepKey: string, sender: string | null): void {
    const context = sender === null ? this.origin : fromStored(this.tracing.api, sender);
    if (!context || this.links++ >= MAX_LINKS) return;
    this.tracing.sdk.change(() => this.span.addLink({ context, attributes: waitAttributes(kind, stepKey) }));
  }

  end(outcome: PassOutcomeName, errorType?: string): void {
    if (this.hasEnded) return;
    this.hasEnded = true;
    const { tracing, span } = this;
    const { api, sdk, passes } = tracing;
    if (passes.get(this.runId) === this) passes.delete(this.runId);
    sdk.change(() => {
      span.setAttribute('nestjs_durable.pass.outcome', outcome);
      if (errorType !== undefined) span.setAttribute('error.type', errorType);
      if (outcome === 'failed' || outcome === 'blocked') span.setStatus({ code: api.SpanStatusCode.ERROR });
    });
    sdk.end(span);
  }
}
