import { HttpException } from '@nestjs/common';
import type { HttpAdapterHost } from '@nestjs/core';

import { within } from '../core/within.js';
import type { DeliveryOutcome } from '../transports/qstash/deliveries.js';
import { decodeMessage } from '../transports/qstash/message.js';
import { readBody, type HookHttpRequest } from './hook-body.js';
import type { PushHost } from './push-host.js';
import type { QStashTransport } from './qstash-transport.js';

/** A wake-up has a run's id and its queue; a schedule's message has nothing. */
const MAX_BODY_BYTES = 16 << 10;
const RETRY_AFTER_SECONDS = 10;
const SWEEP_LIMIT_MS = 50_000;

/** What the endpoint needs of its module. */
export interface EndpointSurroundings {
  readonly http: { readonly path: string };
  readonly qstash: QStashTransport | undefined;
  /** Absent while the application boots or closes. */
  readonly push: PushHost | undefined;
  warn(message: string, error?: unknown): void;
}

interface Answer {
  readonly status: number;
  readonly body: { readonly status: string };
  readonly headers?: Readonly<Record<string, string>>;
}

type Adapter = NonNullable<HttpAdapterHost['httpAdapter']>;

/**
 * Opens the two addresses that QStash calls, on the HTTP server itself: what the application wraps around its own routes (a prefix, versions, guards, throttlers, pipes,
 * interceptors, documentation) has nothing to do with them, and cannot break signatures or the meaning of answers.
 */
export function openEndpoint(adapter: Adapter, module: EndpointSurroundings): void {
  const { path } = module.http;
  const open = (address: string, handle: (request: HookHttpRequest) => Promise<Answer>): void => {
    adapter.post(address, (request: HookHttpRequest, response: object) => {
      const answered = handle(request).then(({ status, body, headers = {} }) => {
        for (const [name, value] of Object.entries(headers)) adapter.setHeader(response, name, value);
        return adapter.reply(response, body, status) as unknown;
      });
      answered.catch((error: unknown) => module.warn('QStash could not be answered', error));
    });
  };
  open(`/${path}/qstash`, (request) => answer(module, request, 'delivery'));
  open(`/${path}/qstash/sweep`, (request) => answer(module, request, 'sweep'));
}

async function answer(module: EndpointSurroundings, request: HookHttpRequest, kind: 'delivery' | 'sweep'): Promise<Answer> {
  const { qstash, push } = module;
  try {
    if (!qstash || !push) return LATER;
    const { raw } = await readBody(request, MAX_BODY_BYTES);
    if (!raw) {
      module.warn('deliveries of QStash cannot be verified, and are answered with 500: NestFactory.create(AppModule, { rawBody: true })');
      return { status: 500, body: { status: 'no raw body' } };
    }
    const signature = request.headers['upstash-signature'];
    const { deliveryUrl, sweepUrl } = qstash.settings;
    const body = raw.toString('utf8');
    const url = kind === 'delivery' ? deliveryUrl : sweepUrl;
    if (typeof signature !== 'string' || !(await qstash.api.isGenuine(signature, body, url)))
      return { status: 401, body: { status: 'not signed' } };
    return kind === 'delivery' ? await deliver(push, body) : await sweep(push);
  } catch (error) {
    if (error instanceof HttpException) return { status: error.getStatus(), body: { status: 'not readable' } };
    module.warn(`a ${kind} of QStash could not be taken; it comes again`, error);
    return LATER;
  }
}

async function deliver(push: PushHost, body: string): Promise<Answer> {
  const message = decodeMessage(body);
  // No later attempt would be understood either.
  if (message === 'unknown') return { status: 489, body: { status: 'unknown' }, headers: { 'Upstash-NonRetryable-Error': 'true' } };
  const outcome: DeliveryOutcome = await push.deliver(message);
  return outcome === 'busy' ? LATER : { status: 200, body: { status: outcome } };
}

async function sweep(push: PushHost): Promise<Answer> {
  const swept = await within(SWEEP_LIMIT_MS, push.sweep());
  return { status: 200, body: { status: swept === 'done' ? 'swept' : 'going on' } };
}

const LATER: Answer = { status: 503, body: { status: 'later' }, headers: { 'Retry-After': String(RETRY_AFTER_SECONDS) } };
