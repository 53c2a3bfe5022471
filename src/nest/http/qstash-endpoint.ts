import { isUtf8 } from 'node:buffer';

import { HttpException } from '@nestjs/common';
import type { HttpAdapterHost } from '@nestjs/core';

import { ClosedError, WorkflowConfigurationError } from '../../core/errors/index.js';
import { tracer } from '../../core/tracing.js';
import { within } from '../../core/async.js';
import type { LogFields } from '../../core/log-fields.js';
import type { WarningCode } from '../../core/warning-codes.js';
import type { DeliveryOutcome } from '../../transports/qstash/deliveries.js';
import { decodeMessage, decodeSweep } from '../../transports/qstash/message.js';
import { readRawBody, type HookHttpRequest } from './hook-body.js';
import type { PushHost } from '../../host/push-host.js';
import { isSigned } from '../../transports/qstash/signature.js';
import type { QStashTransport } from '../../transports/qstash/transport.js';
import { keepsRawBodies } from './raw-body-check.js';

/**
 * Maximum size of a request body, in bytes. A wake-up contains only the id and the queue of a run,
 * and the message of a schedule has no body.
 */
const MAX_BODY_BYTES = 16 << 10;
const RETRY_AFTER_SECONDS = 10;
const SWEEP_TIMEOUT_MS = 50_000;
const ANSWER_MARGIN_MS = 1_000;
const NO_RAW_BODIES =
  'the application keeps no raw bodies: NestFactory.create(AppModule, { rawBody: true }), and app.useBodyParser() for limits of your own instead of app.use(json())';
const ANSWERED_500 = 'qstash: the endpoint cannot verify deliveries and answers them with 500';

/** Parts of the module that the endpoint uses. */
export interface EndpointDependencies {
  readonly http: { readonly path: string };
  readonly qstash: QStashTransport | undefined;
  /** Host that executes deliveries; undefined while the application boots or closes. */
  readonly push: PushHost | undefined;
  warn(code: WarningCode, message: string, error?: unknown, fields?: LogFields): void;
}

interface Answer {
  readonly status: number;
  readonly body: { readonly status: string };
  readonly headers?: Readonly<Record<string, string>>;
}

type Adapter = NonNullable<HttpAdapterHost['httpAdapter']>;

/**
 * Paths and namespaces that modules use on each HTTP server. Two modules must not share a path,
 * because messages would reach the wrong module. Two modules must not share a namespace, because
 * one module would replace the schedule of the other.
 */
const reservedNames = new WeakMap<Adapter, Set<string>>();

/**
 * Opens the two addresses that QStash calls: one for deliveries, one for sweeps. Opens them on the
 * HTTP server itself, outside of Nest's routes. The application's prefix, versions, guards, pipes
 * and interceptors therefore do not apply, and cannot break signatures or change the meaning of
 * answers.
 *
 * @throws WorkflowConfigurationError
 */
export function openEndpoint(adapter: Adapter, module: EndpointDependencies): void {
  const { path } = module.http;
  reserve(adapter, `http.path '${path}'`);
  if (module.qstash) reserve(adapter, `qstash.namespace '${module.qstash.settings.namespace}'`);
  const open = (address: string, handle: (request: HookHttpRequest) => Promise<Answer>): void => {
    adapter.post(address, (request: HookHttpRequest, response: object) => {
      const answered = handle(request).then(({ status, body, headers = {} }) => {
        for (const [name, value] of Object.entries(headers)) adapter.setHeader(response, name, value);
        return adapter.reply(response, body, status) as unknown;
      });
      answered.catch((error: unknown) => module.warn('qstash-answer-failed', 'qstash: could not answer a request', error));
    });
  };
  open(`/${path}/qstash`, (request) => answer(module, request, 'delivery'));
  open(`/${path}/qstash/sweep`, (request) => answer(module, request, 'sweep'));
  void warnOfMissingSettings(adapter, module);
}

function reserve(adapter: Adapter, what: string): void {
  const reserved = reservedNames.get(adapter) ?? new Set();
  if (reserved.has(what)) throw new WorkflowConfigurationError(`two modules with QStash have the ${what}: give each its own`);
  reservedNames.set(adapter, reserved.add(what));
}

/** Warns at boot about settings that would make every delivery fail. */
async function warnOfMissingSettings(adapter: Adapter, module: EndpointDependencies): Promise<void> {
  if (!module.qstash?.settings.keys)
    module.warn(
      'qstash-keys-missing',
      'qstash: the signing keys are missing: the endpoint answers every delivery with 401. Set QSTASH_CURRENT_SIGNING_KEY and QSTASH_NEXT_SIGNING_KEY',
    );
  if ((await keepsRawBodies(adapter)) === 'no') module.warn('qstash-raw-body', `${ANSWERED_500}: ${NO_RAW_BODIES}`);
}

async function answer(module: EndpointDependencies, request: HookHttpRequest, kind: 'delivery' | 'sweep'): Promise<Answer> {
  const { qstash, push } = module;
  try {
    if (!qstash || !push) return NOT_READY;
    const raw = await readRawBody(request, MAX_BODY_BYTES);
    if (!raw) {
      // Pass the text as an error, because a repeated error is not logged each time. Otherwise
      // anyone who knows the address could fill the log.
      module.warn('qstash-raw-body', ANSWERED_500, new Error(NO_RAW_BODIES));
      return { status: 500, body: { status: 'no raw body' } };
    }
    const { deliveryUrl, sweepUrl } = qstash.settings;
    const url = kind === 'delivery' ? deliveryUrl : sweepUrl;
    const body = raw.toString('utf8');
    const signature = request.headers['upstash-signature'];
    // Bytes that are not UTF-8 change when they are decoded to text, so their signature cannot be
    // checked.
    if (!isUtf8(raw) || !(await isSigned({ qstash, signature, body, url }, module.warn.bind(module))))
      return { status: 401, body: { status: 'not signed' } };
    // Limit the time, so that the answer is sent before the platform ends the request. A database
    // that does not respond would block the request for longer.
    const limitMs = qstash.settings.deliveryTimeoutMs - ANSWER_MARGIN_MS;
    return kind === 'delivery'
      ? await deliver(push, body, request.headers, limitMs)
      : await sweep(push.sweep(decodeSweep(body)), Math.min(SWEEP_TIMEOUT_MS, limitMs));
  } catch (error) {
    if (error instanceof ClosedError) return NOT_READY;
    if (error instanceof HttpException) return { status: error.getStatus(), body: { status: 'not readable' } };
    module.warn('qstash-request-failed', `qstash: could not process a ${kind}; QStash repeats it`, error);
    return RETRY_LATER;
  }
}

async function deliver(push: PushHost, body: string, headers: HookHttpRequest['headers'], limitMs: number): Promise<Answer> {
  const message = decodeMessage(body);
  // The header makes QStash stop retrying, because every later attempt would be refused too.
  if (message === 'unknown') return { status: 489, body: { status: 'unknown' }, headers: { 'Upstash-NonRetryable-Error': 'true' } };
  const { run: runId, queue } = message;
  const execute = (): Promise<DeliveryOutcome> => push.deliver(message);
  const delivered = tracer ? tracer.deliver('qstash', { runId, queue }, headers, execute) : execute();
  if ((await within(limitMs, delivered)) === 'late') return RETRY_LATER;
  const outcome: DeliveryOutcome = await delivered;
  if (outcome === 'closed') return NOT_READY;
  return outcome === 'busy' ? RETRY_LATER : { status: 200, body: { status: outcome } };
}

async function sweep(sweeping: Promise<void>, limitMs: number): Promise<Answer> {
  const swept = await within(limitMs, sweeping);
  return { status: 200, body: { status: swept === 'done' ? 'swept' : 'still running' } };
}

const RETRY_LATER: Answer = { status: 503, body: { status: 'later' }, headers: { 'Retry-After': String(RETRY_AFTER_SECONDS) } };
/**
 * Answer while the application boots or closes. The answer also closes the connection. Otherwise
 * QStash would call the same process again on this connection, and the HTTP server could not close.
 */
const NOT_READY: Answer = { ...RETRY_LATER, headers: { ...RETRY_LATER.headers, Connection: 'close' } };
