import { isUtf8 } from 'node:buffer';

import { HttpException } from '@nestjs/common';
import type { HttpAdapterHost } from '@nestjs/core';

import { ClosedError, WorkflowConfigurationError } from '../core/errors/index.js';
import { within } from '../core/async.js';
import type { DeliveryOutcome } from '../transports/qstash/deliveries.js';
import { decodeMessage } from '../transports/qstash/message.js';
import { readRawBody, type HookHttpRequest } from './hook-body.js';
import type { PushHost } from '../host/push-host.js';
import { isSigned } from '../transports/qstash/signature.js';
import type { QStashTransport } from '../transports/qstash/transport.js';
import { keepsRawBodies } from './raw-body-check.js';

/** A wake-up has a run's id and its queue; a schedule's message has nothing. */
const MAX_BODY_BYTES = 16 << 10;
const RETRY_AFTER_SECONDS = 10;
const SWEEP_LIMIT_MS = 50_000;
const LAST_WORD_MS = 1_000;
const NO_RAW_BODIES =
  'the application keeps no raw bodies: NestFactory.create(AppModule, { rawBody: true }), and app.useBodyParser() for limits of your own instead of app.use(json())';
const ANSWERED_500 = 'deliveries of QStash cannot be verified, and are answered with 500';

/** What the endpoint needs of its module. */
export interface EndpointDependencies {
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

/** What the modules of one application may not share: their messages would go to the other, or their schedules replace each other. */
const opened = new WeakMap<Adapter, Set<string>>();

/**
 * Opens the two addresses that QStash calls, on the HTTP server itself: what the application wraps around its own routes (a prefix, versions, guards, throttlers, pipes,
 * interceptors, documentation) has nothing to do with them, and cannot break signatures or the meaning of answers.
 *
 * @throws WorkflowConfigurationError
 */
export function openEndpoint(adapter: Adapter, module: EndpointDependencies): void {
  const { path } = module.http;
  claim(adapter, `http.path '${path}'`);
  if (module.qstash) claim(adapter, `qstash.namespace '${module.qstash.settings.namespace}'`);
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
  void foretell(adapter, module);
}

function claim(adapter: Adapter, what: string): void {
  const claimed = opened.get(adapter) ?? new Set();
  if (claimed.has(what)) throw new WorkflowConfigurationError(`two modules that QStash drives have the ${what}: they need different ones`);
  opened.set(adapter, claimed.add(what));
}

/** Says at boot already what would make every delivery fail. */
async function foretell(adapter: Adapter, module: EndpointDependencies): Promise<void> {
  if (!module.qstash?.settings.keys)
    module.warn(
      'there are no two signing keys of QStash: every delivery is answered with 401. Set QSTASH_CURRENT_SIGNING_KEY and QSTASH_NEXT_SIGNING_KEY',
    );
  if ((await keepsRawBodies(adapter)) === 'no') module.warn(`${ANSWERED_500}: ${NO_RAW_BODIES}`);
}

async function answer(module: EndpointDependencies, request: HookHttpRequest, kind: 'delivery' | 'sweep'): Promise<Answer> {
  const { qstash, push } = module;
  try {
    if (!qstash || !push) return ELSEWHERE;
    const raw = await readRawBody(request, MAX_BODY_BYTES);
    if (!raw) {
      // As an error: whoever knows the address could fill the log otherwise.
      module.warn(ANSWERED_500, new Error(NO_RAW_BODIES));
      return { status: 500, body: { status: 'no raw body' } };
    }
    const { deliveryUrl, sweepUrl } = qstash.settings;
    const url = kind === 'delivery' ? deliveryUrl : sweepUrl;
    const body = raw.toString('utf8');
    const signature = request.headers['upstash-signature'];
    // Other bytes would come out of the text than went into it.
    if (!isUtf8(raw) || !(await isSigned({ qstash, signature, body, url }, module.warn.bind(module))))
      return { status: 401, body: { status: 'not signed' } };
    // Before the platform ends the request: a database that says nothing would keep it longer.
    const limitMs = qstash.settings.deliveryTimeoutMs - LAST_WORD_MS;
    return kind === 'delivery' ? await deliver(push, body, limitMs) : await sweep(push, Math.min(SWEEP_LIMIT_MS, limitMs));
  } catch (error) {
    if (error instanceof ClosedError) return ELSEWHERE;
    if (error instanceof HttpException) return { status: error.getStatus(), body: { status: 'not readable' } };
    module.warn(`a ${kind} of QStash could not be taken; it comes again`, error);
    return LATER;
  }
}

async function deliver(push: PushHost, body: string, limitMs: number): Promise<Answer> {
  const message = decodeMessage(body);
  // No later attempt would be understood either.
  if (message === 'unknown') return { status: 489, body: { status: 'unknown' }, headers: { 'Upstash-NonRetryable-Error': 'true' } };
  const delivered = push.deliver(message);
  if ((await within(limitMs, delivered)) === 'late') return LATER;
  const outcome: DeliveryOutcome = await delivered;
  if (outcome === 'closed') return ELSEWHERE;
  return outcome === 'busy' ? LATER : { status: 200, body: { status: outcome } };
}

async function sweep(push: PushHost, limitMs: number): Promise<Answer> {
  const swept = await within(limitMs, push.sweep());
  return { status: 200, body: { status: swept === 'done' ? 'swept' : 'going on' } };
}

const LATER: Answer = { status: 503, body: { status: 'later' }, headers: { 'Retry-After': String(RETRY_AFTER_SECONDS) } };
/** While the application boots or closes. On a connection that is kept, the same process would be asked again and again, and its server could not close. */
const ELSEWHERE: Answer = { ...LATER, headers: { ...LATER.headers, Connection: 'close' } };
