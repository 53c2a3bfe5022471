import * as api from '@opentelemetry/api';
import { expect, it } from '@jest/globals';

import { fromHeaders, fromStored, toStored } from './trace-context.js';

const TRACE = '4bf92f3577b34da6a3ce929d0e0e4736';
const SPAN = '00f067aa0ba902b7';
const PARENT = `00-${TRACE}-${SPAN}-01`;

it('a context is the same after it was stored and read', () => {
  const context = { traceId: TRACE, spanId: SPAN, traceFlags: 1, traceState: api.createTraceState('a=1,b=2') };
  const stored = toStored(api, context)!;
  expect(stored).toBe(`${PARENT} a=1,b=2`);
  const read = fromStored(api, stored)!;
  expect(read).toMatchObject({ traceId: TRACE, spanId: SPAN, traceFlags: 1, isRemote: true });
  expect(read.traceState!.serialize()).toBe('a=1,b=2');
});

it('a context of no trace is not stored, and a state that is too long is left out', () => {
  expect(toStored(api, api.INVALID_SPAN_CONTEXT)).toBeNull();
  const traceState = { serialize: () => 'x'.repeat(1_000), get: () => undefined, set: () => traceState, unset: () => traceState };
  expect(toStored(api, { traceId: TRACE, spanId: SPAN, traceFlags: 0, traceState })).toBe(`00-${TRACE}-${SPAN}-00`);
});

it.each([
  [null],
  [''],
  ['00'],
  [`01-${TRACE}-${SPAN}-01`],
  [`00-${TRACE.toUpperCase()}-${SPAN}-01`],
  [`00-${'0'.repeat(32)}-${SPAN}-01`],
  [`00-${TRACE}-${'0'.repeat(16)}-01`],
  [`${PARENT}\n`],
  [`${PARENT} a=\u0000`],
  [`${PARENT} ${'x'.repeat(1_000)}`],
])('%j is no usable context', (stored) => {
  expect(fromStored(api, stored)).toBeUndefined();
});

it('headers give a context, also when only their tracestate is malformed', () => {
  expect(fromHeaders(api, { traceparent: PARENT, tracestate: 'a=1' })?.traceState?.serialize()).toBe('a=1');
  expect(fromHeaders(api, { traceparent: PARENT, tracestate: 'ä' })).toMatchObject({ traceId: TRACE, spanId: SPAN });
  expect(fromHeaders(api, { traceparent: [PARENT] })).toBeUndefined();
  expect(fromHeaders(api, {})).toBeUndefined();
});
