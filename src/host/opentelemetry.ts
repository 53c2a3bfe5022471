import type { Attributes, Context, Link, SpanContext, SpanKind, SpanOptions } from '@opentelemetry/api';

import type { Warn } from '../core/log-fields.js';
import { refineOutside } from '../core/outside.js';
import type { OwnedRun } from '../core/run.js';
import type { Transition } from '../core/transition.js';
import { useTracer, type PassSpan, type SendOperation, type SendSpan, type TracedRun, type Tracer } from '../core/tracing.js';
import { loadOpenTelemetryApi } from './opentelemetry-api.js';
import { GuardedSdk } from './opentelemetry-guard.js';
import { endSpan, OtelPassSpan, OtelSendSpan, spanKeyOf, type Api, type Tracing } from './opentelemetry-spans.js';
import {
  claimAttributes,
  deliveryAttributes,
  flushAttributes,
  messageAttributes,
  publishAttributes,
  startAttributes,
} from './span-attributes.js';
import { fromHeaders, fromStored } from './trace-context.js';

const SCOPE_NAME = 'nestjs-durable';

/**
 * Description of the context key with which OpenTelemetry's SDK, and instrumentations based on it,
 * suppress tracing. The API makes equal keys from equal descriptions.
 */
const SUPPRESS = 'OpenTelemetry SDK Context Key SUPPRESS_TRACING';

/** Maximum number of runs to which the span of a batch links. A batch may have hundreds of runs. */
const MAX_BATCH_LINKS = 32;

/**
 * Turns tracing on when the application has registered an SDK of OpenTelemetry, and off otherwise.
 * Called at the boot of each module: an SDK must be registered before.
 *
 * @param warn logs the first error that the SDK throws later
 * @returns a function that logs the error with which the SDK has refused a tracer, if it did. Runs
 *   are then executed without spans
 */
export async function detectTracing(warn: Warn): Promise<() => void> {
  const api = await loadOpenTelemetryApi();
  let refusal: (() => void) | undefined;
  let tracer: OpenTelemetryTracer | undefined;
  try {
    if (api && isRegistered(api)) tracer = new OpenTelemetryTracer(api, warn);
  } catch (error) {
    refusal = () => warn('tracing-failed', 'opentelemetry: the SDK threw; there are no spans', error);
  }
  useTracer(tracer);
  if (api && tracer) suppressOwnStatements(api);
  else refineOutside();
  return refusal ?? (() => undefined);
}

/**
 * Suppresses tracing of the module's own statements. Instrumentations of pg and HTTP would trace
 * them as roots of their own.
 */
function suppressOwnStatements(api: Api): void {
  const suppressed = api.ROOT_CONTEXT.setValue(api.createContextKey(SUPPRESS), true);
  refineOutside((code) => api.context.with(suppressed, code));
}

/**
 * True when a tracer provider is registered. Without one, the API returns a proxy that delegates to
 * its provider without a function.
 */
function isRegistered({ trace, ProxyTracerProvider }: Api): boolean {
  const provider = trace.getTracerProvider();
  if (!(provider instanceof ProxyTracerProvider)) return true;
  return provider.getDelegate() !== new ProxyTracerProvider().getDelegate();
}

/** Records spans with OpenTelemetry's API. */
class OpenTelemetryTracer implements Tracer {
  private readonly tracing: Tracing;
  /** Key of the delivery's span in the context in which a push transport executes a run. */
  private readonly deliveryKey: symbol;

  constructor(
    private readonly api: Api,
    warn: Warn,
  ) {
    const sdk = new GuardedSdk(api, api.trace.getTracer(SCOPE_NAME), warn);
    this.tracing = { api, sdk, spanKey: spanKeyOf(api), passes: new Map() };
    this.deliveryKey = api.createContextKey('nestjs-durable delivery');
  }

  send(operation: SendOperation, runId: string | undefined, destination?: string): SendSpan {
    const { api, tracing } = this;
    const parent = api.context.active();
    const name = destination === undefined ? operation : `${operation} ${destination}`;
    const isMessage = operation === 'signal' || operation === 'hook' || operation === 'emit';
    const attributes = isMessage ? messageAttributes(operation, runId, destination) : startAttributes(operation, runId ?? '', destination);
    return new OtelSendSpan(tracing, tracing.sdk.startSpan(name, { kind: api.SpanKind.PRODUCER, attributes }, parent), parent);
  }

  pass(run: OwnedRun): PassSpan {
    const delivery = this.api.context.active().getValue(this.deliveryKey) as SpanContext | undefined;
    return OtelPassSpan.begin(this.tracing, run, delivery && [{ context: delivery }]);
  }

  claimed(runs: readonly OwnedRun[], since: number): void {
    const contexts = this.sampled(runs, ({ traceContext }) => fromStored(this.api, traceContext));
    const attributes = claimAttributes(runs.length);
    const span = this.batch('claim', contexts, this.api.SpanKind.CLIENT, attributes, since);
    if (span) this.tracing.sdk.end(span);
  }

  flushed(entries: readonly { readonly transition: Transition }[], since: number, error?: unknown): void {
    const contexts = this.sampled(entries, ({ transition }) => this.contextOf(transition));
    const attributes = flushAttributes(entries.length);
    const span = this.batch('flush', contexts, this.api.SpanKind.CLIENT, attributes, since);
    if (span) endSpan(this.tracing, span, error);
  }

  async publish<T>(system: string, runs: readonly TracedRun[], work: () => Promise<T>): Promise<T> {
    const contexts = this.sampled(runs, ({ traceContext }) => fromStored(this.api, traceContext));
    const attributes = publishAttributes(system, runs.length);
    const span = this.batch('publish', contexts, this.api.SpanKind.CLIENT, attributes);
    if (!span) return work();
    return this.execute(new OtelSendSpan(this.tracing, span, this.api.ROOT_CONTEXT), work);
  }

  async deliver<T>(
    system: string,
    { runId, queue }: { readonly runId: string; readonly queue: string },
    headers: Readonly<Record<string, unknown>>,
    work: () => Promise<T>,
  ): Promise<T> {
    const { api } = this;
    const attributes = deliveryAttributes(system, runId, queue);
    const parent = this.requestContext(headers);
    const span = this.tracing.sdk.startSpan(`deliver ${queue}`, { kind: api.SpanKind.CONSUMER, attributes }, parent);
    return this.execute(new OtelSendSpan(this.tracing, span, parent.setValue(this.deliveryKey, span.spanContext())), work);
  }

  headersOf(traceContext: string | null): Readonly<Record<string, string>> | undefined {
    if (!traceContext || !fromStored(this.api, traceContext)) return undefined;
    const [traceparent, tracestate] = traceContext.split(/ (.*)/s);
    return { traceparent: traceparent!, ...(tracestate ? { tracestate } : {}) };
  }

  /** Returns the context of the request, or the context that its headers carry. */
  private requestContext(headers: Readonly<Record<string, unknown>>): Context {
    const { trace, context } = this.api;
    const active = context.active();
    const remote = trace.getSpanContext(active) ? undefined : fromHeaders(this.api, headers);
    return remote ? trace.setSpanContext(active, remote) : active;
  }

  private async execute<T>(span: OtelSendSpan, work: () => Promise<T>): Promise<T> {
    try {
      const result = await span.within(work);
      span.end();
      return result;
    } catch (error) {
      span.end(error);
      throw error;
    }
  }

  /** Returns the span to which a transition belongs: its run's pass, or the start of the run. */
  private contextOf(transition: Transition): SpanContext | undefined {
    if (transition.kind === 'start') return fromStored(this.api, transition.run.traceContext);
    return this.tracing.passes.get(transition.runId)?.spanContext;
  }

  /** Returns the contexts of the first members of a batch that are sampled, each once. */
  private sampled<Member>(members: readonly Member[], contextOf: (member: Member) => SpanContext | undefined): SpanContext[] {
    const found = new Map<string, SpanContext>();
    for (const member of members) {
      const context = contextOf(member);
      if (context && context.traceFlags & this.api.TraceFlags.SAMPLED) found.set(context.spanId, context);
      if (found.size > MAX_BATCH_LINKS) break;
    }
    return [...found.values()];
  }

  /**
   * Begins the span of a batch. The span belongs to the trace of the first run, and links to the
   * others. Undefined when no run of the batch is sampled.
   */
  private batch(name: string, [first, ...others]: SpanContext[], kind: SpanKind, attributes: Attributes, startTime?: number) {
    if (!first) return undefined;
    const { trace, ROOT_CONTEXT } = this.api;
    const links: Link[] = others.map((context) => ({ context }));
    const options: SpanOptions = { kind, attributes, links, ...(startTime === undefined ? {} : { startTime }) };
    return this.tracing.sdk.startSpan(name, options, trace.setSpanContext(ROOT_CONTEXT, first));
  }
}
