import { context, trace } from '@opentelemetry/api';
import { AsyncLocalStorageContextManager } from '@opentelemetry/context-async-hooks';
import {
  BasicTracerProvider,
  BatchSpanProcessor,
  ParentBasedSampler,
  TraceIdRatioBasedSampler,
  type SpanExporter,
} from '@opentelemetry/sdk-trace-base';

/** Accepts all spans and sends them nowhere: the cost of a protocol is not the package's. */
const nowhere: SpanExporter = {
  export: (_spans, done) => done({ code: 0 }),
  shutdown: async () => {},
};

/**
 * Registers an SDK of OpenTelemetry.
 *
 * @param share share of the traces that the SDK samples
 * @returns a function that removes the SDK
 */
export function registerSdk(share: number): () => Promise<void> {
  const sampler = new ParentBasedSampler({ root: new TraceIdRatioBasedSampler(share) });
  const provider = new BasicTracerProvider({ sampler, spanProcessors: [new BatchSpanProcessor(nowhere)] });
  context.setGlobalContextManager(new AsyncLocalStorageContextManager().enable());
  trace.setGlobalTracerProvider(provider);
  return async () => {
    context.disable();
    trace.disable();
    await provider.shutdown();
  };
}
