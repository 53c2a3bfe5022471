import type { IncomingHttpHeaders, ServerResponse } from 'node:http';

import {
  BadRequestException,
  GoneException,
  HttpException,
  HttpStatus,
  InternalServerErrorException,
  NotFoundException,
  ServiceUnavailableException,
  type BeforeApplicationShutdown,
  type OnModuleInit,
} from '@nestjs/common';
import type { DiscoveryService } from '@nestjs/core';

import { toPlainJson } from '../../client/streams/plain-json.js';
import type { StreamHub } from '../../client/streams/stream-hub.js';
import { placeOfEventId, toMessage } from '../../client/streams/stream-messages.js';
import { MAX_PAGE_CHUNKS, readPage, readSummary } from '../../client/streams/stream-page.js';
import { StreamReader } from '../../client/streams/stream-reader.js';
import {
  InvalidInputError,
  PayloadUnreadableError,
  RunNotFoundError,
  StreamExpiredError,
  WorkflowConfigurationError,
} from '../../core/errors/index.js';
import { readMark } from '../../store/sql/streams.js';
import type { WarningCode } from '../../core/warning-codes.js';
import { checkText } from '../../core/ids.js';
import type { Payloads } from '../../core/payloads.js';
import { STREAM_ENDPOINT } from '../tokens.js';
import { EventStreamResponse } from './event-stream-response.js';

/** Request object, as in Express and Fastify. */
export interface StreamHttpRequest {
  readonly method: string;
  readonly headers: IncomingHttpHeaders;
}

/** Response object, as in Express and Fastify. */
export interface StreamHttpResponse {
  status(status: number): this;
  header(name: string, value: string): this;
  send(body?: string): unknown;
  /** Response of Node.js; absent in Express, whose response is the one of Node.js. */
  readonly raw?: ServerResponse;
  /** Hands the response over, in Fastify. */
  hijack?(): unknown;
  /** Headers that hooks of the application have set; in Fastify they are not in `raw` yet. */
  getHeaders(): Readonly<Record<string, number | string | string[] | undefined>>;
}

/** Parts of the module that the handler uses. */
export interface StreamHttpHandlerDependencies {
  readonly streams: StreamHub;
  readonly payloads: Payloads;
  readonly http: { readonly path: string };
  /** Warns about a problem that a request has caused, at most once a minute. */
  warnOfRequest(code: WarningCode, message: string, error?: unknown): void;
}

/** Stream that a request names. */
interface Target {
  readonly runId: string;
  readonly stream: string;
}

/** Answers HTTP requests for streams, as server-sent events or as JSON. */
export class StreamHttpHandler implements OnModuleInit, BeforeApplicationShutdown {
  private readonly open = new Set<EventStreamResponse>();
  private isClosing = false;

  constructor(
    private readonly module: StreamHttpHandlerDependencies,
    private readonly discovery: DiscoveryService,
  ) {}

  /**
   * Refuses two modules with the same path, because Nest would send the requests for both to the
   * first one.
   *
   * @throws WorkflowConfigurationError
   */
  onModuleInit(): void {
    const { path } = this.module.http;
    const same = this.discovery
      .getProviders()
      .filter(({ token, instance }) => token === STREAM_ENDPOINT && (instance as StreamHttpHandler).module.http.path === path);
    if (same.length > 1)
      throw new WorkflowConfigurationError(`two WorkflowModules have endpoints under "${path}": give each an http.path of its own`);
  }

  /**
   * Ends the open responses, because the application's HTTP server waits for them when it closes.
   */
  beforeApplicationShutdown(): void {
    this.isClosing = true;
    for (const response of this.open) response.disconnect();
  }

  /**
   * Answers one request.
   *
   * @throws HttpException before the response begins
   */
  async answer(
    { runId, name, query }: { readonly runId: string; readonly name: string; readonly query: Readonly<Record<string, unknown>> },
    request: StreamHttpRequest,
    response: StreamHttpResponse,
  ): Promise<void> {
    try {
      const target = { runId: checkText(runId, 'runId'), stream: checkText(name, 'name') };
      if (wantsJson(request.headers.accept, query)) await this.sendJson(target, query, request, response);
      else await this.sendEvents(target, query, request, response);
    } catch (error) {
      throw this.answerTo(error);
    }
  }

  private async sendJson(
    target: Target,
    query: Readonly<Record<string, unknown>>,
    { headers }: StreamHttpRequest,
    response: StreamHttpResponse,
  ): Promise<void> {
    const start = checkInteger(query['startIndex'], 'startIndex', 0, -Number.MAX_SAFE_INTEGER);
    const limit = checkInteger(query['limit'], 'limit', 100, 1, MAX_PAGE_CHUNKS);
    const { database } = this.module.streams;
    const summary = await readSummary(database, target.runId, target.stream);
    const { length, state, version } = summary;
    const etag = `"${version}"`;
    const from = start < 0 ? Math.max(0, length + start) : start;
    if (from < summary.expiredTo) throw new StreamExpiredError(target.stream, length);
    const cached = (): StreamHttpResponse =>
      response.header('ETag', etag).header('Cache-Control', 'private, no-cache').header('Vary', 'Accept');
    if (headers['if-none-match'] === etag) return void cached().status(HttpStatus.NOT_MODIFIED).send();
    const { events, next } = await readPage(database, this.module.payloads, { ...target, from }, { limit, summary });
    const body = toPlainJson({ events, next, length, state });
    cached().status(HttpStatus.OK).header('Content-Type', 'application/json; charset=utf-8').send(body);
  }

  private async sendEvents(
    target: Target,
    query: Readonly<Record<string, unknown>>,
    { headers, method }: StreamHttpRequest,
    response: StreamHttpResponse,
  ): Promise<void> {
    // A page that opens another EventSource cannot send the header.
    const { from, seen } = placeOfEventId(headers['last-event-id'] ?? query['lastEventId'], 'Last-Event-ID');
    const { streams, payloads } = this.module;
    const summary = await readSummary(streams.database, target.runId, target.stream).catch((error: unknown) => {
      if (error instanceof RunNotFoundError) throw error;
      this.module.warnOfRequest('streams-not-read', 'streams: could not read a stream', error);
      return undefined;
    });
    if (!summary) return this.endAtOnce(response);
    // A browser connects again after the end, for ever, until it gets this status.
    if (seen === 'end' && summary.state !== 'open' && summary.length <= from) return void response.status(HttpStatus.NO_CONTENT).send();
    if (from < summary.expiredTo) throw new StreamExpiredError(target.stream, summary.length);
    // Chunks of a retried run follow the removed ones. After an `error` event the browser would
    // connect again, for ever.
    const mark = await readMark(streams.database, { ...target, from }).catch(() => undefined);
    if (mark !== undefined) throw new StreamExpiredError(target.stream, mark);
    if (this.isClosing) return this.endAtOnce(response);
    if (method === 'HEAD') return void response.status(HttpStatus.OK).header('Content-Type', 'text/event-stream').send();
    const reader = new StreamReader({ hub: streams, payloads, ...target, from });
    const events = new EventStreamResponse(takeOver(response), () => {
      this.open.delete(events);
      void reader.return();
    });
    this.open.add(events);
    try {
      for await (const event of reader) await events.send(toMessage(event));
    } catch (error) {
      // The browser connects again and continues.
      this.module.warnOfRequest('streams-not-read', 'streams: could not read a stream', error);
      await events.send({ type: 'error', data: '{}' });
    }
    events.end();
  }

  /**
   * Answers with an empty stream. The browser then connects again, to this or another process. A
   * browser would not do so after a status such as 503.
   */
  private endAtOnce(response: StreamHttpResponse): void {
    new EventStreamResponse(takeOver(response), () => undefined).end();
  }

  private answerTo(error: unknown): HttpException {
    if (error instanceof HttpException) return error;
    if (error instanceof RunNotFoundError) return new NotFoundException();
    if (error instanceof StreamExpiredError) {
      const { message, next } = error;
      return new GoneException({ statusCode: HttpStatus.GONE, message, next });
    }
    if (error instanceof InvalidInputError) return new BadRequestException(error.message);
    this.module.warnOfRequest('streams-not-read', 'streams: could not read a stream', error);
    return error instanceof PayloadUnreadableError ? new InternalServerErrorException() : new ServiceUnavailableException();
  }
}

/** Takes a response from the HTTP framework, with the headers that were set so far. */
function takeOver(response: StreamHttpResponse): ServerResponse {
  const { raw } = response;
  if (!raw) return response as unknown as ServerResponse;
  for (const [name, value] of Object.entries(response.getHeaders())) if (value !== undefined) raw.setHeader(name, value);
  response.hijack?.();
  return raw;
}

/**
 * Returns true for a request that a program polls with. Browsers accept `text/event-stream` from an
 * EventSource.
 */
function wantsJson(accept: string | undefined, query: Readonly<Record<string, unknown>>): boolean {
  if (accept?.includes('text/event-stream')) return false;
  return Boolean(accept?.includes('application/json')) || query['startIndex'] !== undefined || query['limit'] !== undefined;
}

function checkInteger(value: unknown, argument: string, fallback: number, least: number, most = Number.MAX_SAFE_INTEGER): number {
  if (value === undefined) return fallback;
  const number = typeof value === 'string' && /^-?\d{1,15}$/.test(value) ? Number(value) : Number.NaN;
  if (number >= least && number <= most) return number;
  const range = most === Number.MAX_SAFE_INTEGER ? '' : ` from ${least} to ${most}`;
  throw new InvalidInputError(argument, `must be a whole number${range}`);
}
