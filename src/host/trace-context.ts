import type { SpanContext } from '@opentelemetry/api';

import { MAX_TRACE_CONTEXT } from '../core/tracing.js';

type Api = typeof import('@opentelemetry/api');

/** A `traceparent` of version 00, and after a space the `tracestate`. */
const STORED = /^00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}(?: [\x20-\x7e]+)?$/;
/** Number of characters of a `traceparent`. */
const PARENT_LENGTH = 55;

/**
 * Converts a span's context to the stored form: W3C `traceparent`, and after a space `tracestate`
 * if there is one. Baggage is never part of it. Null when the context belongs to no trace.
 */
export function toStored(api: Api, context: SpanContext): string | null {
  // The SDK marks a span of no trace by ids of zeros.
  if (context.traceId === api.INVALID_TRACEID) return null;
  const flags = (context.traceFlags & 0xff).toString(16).padStart(2, '0');
  const parent = `00-${context.traceId}-${context.spanId}-${flags}`;
  const state = context.traceState?.serialize();
  // The standard allows a system to drop a state that is too long.
  if (!state || parent.length + 1 + state.length > MAX_TRACE_CONTEXT) return parent;
  return `${parent} ${state}`;
}

/**
 * Reads a stored trace context. Undefined for null, and for text that is malformed or too long: the
 * database may contain anything, and a trace must never stop a run.
 */
export function fromStored(api: Api, stored: string | null | undefined): SpanContext | undefined {
  if (!stored || stored.length > MAX_TRACE_CONTEXT) return undefined;
  // Every pass reads its context. A test and slices allocate less than capture groups do.
  if (!STORED.test(stored)) return undefined;
  const traceId = stored.slice(3, 35);
  const spanId = stored.slice(36, 52);
  if (traceId === api.INVALID_TRACEID || spanId === api.INVALID_SPANID) return undefined;
  const context = { traceId, spanId, traceFlags: Number.parseInt(stored.slice(53, PARENT_LENGTH), 16), isRemote: true };
  return stored.length === PARENT_LENGTH ? context : { ...context, traceState: api.createTraceState(stored.slice(PARENT_LENGTH + 1)) };
}

/** Reads the trace context of HTTP headers. Undefined when they carry no usable context. */
export function fromHeaders(api: Api, { traceparent, tracestate }: Readonly<Record<string, unknown>>): SpanContext | undefined {
  if (typeof traceparent !== 'string') return undefined;
  const state = typeof tracestate === 'string' && tracestate !== '' ? ` ${tracestate}` : '';
  return fromStored(api, `${traceparent}${state}`) ?? fromStored(api, traceparent);
}
