import { createHash } from 'node:crypto';
import { badRequest } from './api-error.js';
import { parseExpression } from './expression.js';
import { durationOfHeader } from './duration.js';

export type Headers = Readonly<Record<string, string>>;

/** Limits for the messages with one flow-control key. */
export interface FlowSettings {
  readonly key: string;
  readonly parallelism: number | undefined;
  readonly rate: number | undefined;
  readonly periodMs: number;
}

/** Address to which the emulator reports the answer to a message, or the message's failure. */
export interface CallbackTarget {
  readonly url: string;
  readonly headers: Headers;
}

/** Request to deliver a message, after its headers have been checked. */
export interface Publication {
  readonly url: string;
  readonly method: string;
  /** Headers that are sent to the destination, including the content type. */
  readonly headers: Headers;
  readonly body: Buffer;
  readonly retries: number;
  readonly retryDelay: string | undefined;
  readonly timeoutMs: number;
  readonly delayMs: number;
  /**
   * Earliest time of the delivery, in milliseconds since the epoch. Takes precedence over
   * `delayMs`.
   */
  readonly notBefore: number | undefined;
  readonly deduplicationId: string | undefined;
  readonly queue: string | undefined;
  readonly flow: FlowSettings | undefined;
  readonly callback: CallbackTarget | undefined;
  readonly failureCallback: CallbackTarget | undefined;
  readonly labels: readonly string[];
  readonly scheduleId: string | undefined;
}

export interface PublicationInput {
  readonly url: string;
  /** Headers of the request, with names in lower case. */
  readonly headers: Headers;
  readonly body: Buffer;
  readonly queue?: string | undefined;
  readonly scheduleId?: string | undefined;
}

const DEFAULT_RETRIES = 3;
const DEFAULT_TIMEOUT_MS = 15 * 60_000;
const FORWARD_PREFIX = 'upstash-forward-';

/**
 * Parses a request to publish a message.
 *
 * @throws ApiError that names an invalid header
 */
export function parsePublication({ url, headers, body, queue, scheduleId }: PublicationInput): Publication {
  checkDestination(url);
  const method = (headers['upstash-method'] ?? 'POST').toUpperCase();
  if (!/^(?:GET|POST|PUT|PATCH|DELETE)$/.test(method)) throw badRequest(`invalid Upstash-Method: ${method}`);
  const duration = (name: string): number | undefined => (headers[name] === undefined ? undefined : durationOfHeader(name, headers[name]));
  if (headers['upstash-retry-delay'] !== undefined) parseExpression(headers['upstash-retry-delay']);
  const forwarded = forwardedHeaders(headers);
  const notBefore = countOf(headers, 'upstash-not-before');
  return {
    url,
    method,
    headers: forwarded,
    body,
    retries: countOf(headers, 'upstash-retries') ?? DEFAULT_RETRIES,
    retryDelay: headers['upstash-retry-delay'],
    timeoutMs: duration('upstash-timeout') ?? DEFAULT_TIMEOUT_MS,
    delayMs: duration('upstash-delay') ?? 0,
    notBefore: notBefore === undefined ? undefined : notBefore * 1_000,
    deduplicationId: deduplicationIdOf({ url, method, headers, body, forwarded }),
    queue: queue ?? headers['upstash-queue-name'],
    flow: flowOf(headers),
    callback: callbackOf(headers, 'upstash-callback'),
    failureCallback: callbackOf(headers, 'upstash-failure-callback'),
    labels: headers['upstash-label']?.split(',').filter(Boolean) ?? [],
    scheduleId,
  };
}

/**
 * Checks that the destination's URL has a valid scheme.
 *
 * @throws ApiError when the scheme is missing or invalid
 */
function checkDestination(url: string): void {
  if (!/^https?:\/\/./.test(url) || !URL.canParse(url)) {
    throw badRequest(`invalid destination url: ${url} has no valid scheme, add http:// or https:// in front of it`);
  }
}

function forwardedHeaders(headers: Headers): Headers {
  const forwarded: Record<string, string> = {};
  for (const [name, value] of Object.entries(headers)) {
    if (name.startsWith(FORWARD_PREFIX)) forwarded[name.slice(FORWARD_PREFIX.length)] = value;
  }
  if (headers['content-type'] !== undefined) forwarded['content-type'] = headers['content-type'];
  return forwarded;
}

function countOf(headers: Headers, name: string): number | undefined {
  const text = headers[name]?.trim();
  if (text === undefined) return undefined;
  if (!/^\d{1,15}$/.test(text)) throw badRequest(`${name} is not a whole number: ${text}`);
  return Number(text);
}

interface Content {
  readonly url: string;
  readonly method: string;
  readonly headers: Headers;
  readonly body: Buffer;
  readonly forwarded: Headers;
}

function deduplicationIdOf({ url, method, headers, body, forwarded }: Content): string | undefined {
  const explicitId = headers['upstash-deduplication-id'];
  if (explicitId !== undefined || headers['upstash-content-based-deduplication'] !== 'true') return explicitId;
  const sorted = Object.entries(forwarded).sort(([a], [b]) => (a < b ? -1 : 1));
  const content = JSON.stringify([url, method, sorted]);
  return `content:${createHash('sha256').update(content).update(body).digest('hex')}`;
}

function flowOf(headers: Headers): FlowSettings | undefined {
  const key = headers['upstash-flow-control-key'];
  if (key === undefined) return undefined;
  const settings = new Map<string, string>();
  for (const part of (headers['upstash-flow-control-value'] ?? '').split(',')) {
    const [name, value] = part.split('=').map((text) => text.trim());
    if (name && value) settings.set(name, value);
  }
  const count = (name: string): number | undefined => {
    const text = settings.get(name);
    if (text !== undefined && !/^[1-9]\d*$/.test(text)) throw badRequest(`invalid flow control value: ${name}=${text}`);
    return text === undefined ? undefined : Number(text);
  };
  const [parallelism, rate] = [count('parallelism'), count('rate')];
  if (parallelism === undefined && rate === undefined) throw badRequest('flow control requires a parallelism or a rate');
  return { key, parallelism, rate, periodMs: durationOfHeader('period', settings.get('period') ?? '1s') };
}

/**
 * Reads the address and the settings of a callback. A header such as `Upstash-Callback-Retries: 1`
 * becomes the header `Upstash-Retries: 1` of the callback's own message.
 */
function callbackOf(headers: Headers, name: string): CallbackTarget | undefined {
  const url = headers[name];
  if (url === undefined) return undefined;
  const ownHeaders: Record<string, string> = { 'content-type': 'application/json' };
  for (const [header, value] of Object.entries(headers)) {
    if (header.startsWith(`${name}-`)) ownHeaders[`upstash-${header.slice(name.length + 1)}`] = value;
  }
  // Check the callback's headers now: when the callback is sent later, there is no request to
  // refuse.
  parsePublication({ url, headers: ownHeaders, body: Buffer.alloc(0) });
  return { url, headers: ownHeaders };
}
