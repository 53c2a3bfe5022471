import type { IncomingHttpHeaders, IncomingMessage } from 'node:http';
import { TextDecoder } from 'node:util';

import { BadRequestException, PayloadTooLargeException, UnsupportedMediaTypeException } from '@nestjs/common';

/** A request as Express and Fastify have it. */
export interface HookHttpRequest {
  readonly headers: IncomingHttpHeaders;
  /** What the application's parser made of the body. */
  readonly body?: unknown;
  /** With `rawBody: true` of the application. */
  readonly rawBody?: Buffer;
  /** Of Fastify: Node's own request. */
  readonly raw?: IncomingMessage;
}

/** The body of a request. */
export interface HookBody {
  /** Byte for byte; undefined when a parser of the application has read it and kept nothing. */
  readonly raw: Buffer | undefined;
  readonly value: unknown;
}

/**
 * Reads the body of a request: what the application's parser left of it, or what is still to be read.
 *
 * @param maxBytes what it may have at most
 * @throws PayloadTooLargeException, UnsupportedMediaTypeException, BadRequestException
 */
export async function readBody(request: HookHttpRequest, maxBytes: number): Promise<HookBody> {
  const { body, headers } = request;
  if (body !== undefined && body !== null && !Buffer.isBuffer(body)) return { raw: keptBytes(request, maxBytes), value: plain(body) };
  const raw = await readRawBody(request, maxBytes);
  return { raw, value: raw === undefined || raw.length === 0 ? null : parse(raw, headers['content-type'] ?? '') };
}

/**
 * Reads the bytes of a body alone, whatever they are said to mean.
 *
 * @returns undefined when somebody has read the body and kept nothing of it
 * @throws PayloadTooLargeException, UnsupportedMediaTypeException, BadRequestException
 */
export async function readRawBody(request: HookHttpRequest, maxBytes: number): Promise<Buffer | undefined> {
  const kept = keptBytes(request, maxBytes);
  if (kept) return kept;
  const stream = request.raw ?? (request as unknown as IncomingMessage);
  const { headers } = request;
  const isAnnounced = Number(headers['content-length'] ?? 0) > 0;
  // What a parser has made says nothing: some make an empty object of a body that they did not read. The stream knows.
  if (stream.readableDidRead || stream.readableEnded)
    return isAnnounced || headers['transfer-encoding'] !== undefined ? undefined : Buffer.alloc(0);
  const bytes = await readStream(stream, maxBytes);
  if (bytes.length > 0 && (headers['content-encoding'] ?? 'identity') !== 'identity') throw new UnsupportedMediaTypeException();
  return isAnnounced && bytes.length === 0 ? undefined : bytes;
}

/** What a parser has kept. Of a parser of texts: what is not UTF-8 does not come out as it went in, and fails its signature. */
function keptBytes({ body, rawBody }: HookHttpRequest, maxBytes: number): Buffer | undefined {
  const text = typeof body === 'string' ? Buffer.from(body) : undefined;
  const kept = rawBody ?? (Buffer.isBuffer(body) ? body : text);
  if (kept && kept.length > maxBytes) throw new PayloadTooLargeException();
  return kept;
}

function parse(raw: Buffer, contentType: string): unknown {
  const type = contentType.split(';', 1)[0]!.trim().toLowerCase();
  if (type === 'application/json' || type.endsWith('+json')) {
    try {
      return JSON.parse(toText(raw, contentType));
    } catch (error) {
      throw error instanceof SyntaxError ? new BadRequestException('the body is not JSON') : error;
    }
  }
  if (type === 'application/x-www-form-urlencoded') return formOf(new URLSearchParams(toText(raw, contentType)));
  if (type.startsWith('text/') || type === 'application/xml' || type.endsWith('+xml')) return toText(raw, contentType);
  throw new UnsupportedMediaTypeException();
}

function toText(raw: Buffer, contentType: string): string {
  const charset = /;\s*charset\s*=\s*"?([^";\s]+)/i.exec(contentType)?.[1] ?? 'utf-8';
  let decoder: TextDecoder;
  try {
    decoder = new TextDecoder(charset, { fatal: true });
  } catch {
    throw new UnsupportedMediaTypeException();
  }
  try {
    return decoder.decode(raw);
  } catch {
    throw new BadRequestException(`the body is not ${charset}`);
  }
}

/** A field that comes several times is an array. */
function formOf(fields: URLSearchParams): Record<string, string | string[]> {
  return Object.fromEntries(
    [...new Set(fields.keys())].map((name) => {
      const values = fields.getAll(name);
      return [name, values.length === 1 ? values[0]! : values];
    }),
  );
}

/** Parsers of forms make objects without a prototype, which would come to the workflow as such. */
function plain(body: unknown): unknown {
  return typeof body === 'object' && body !== null && Object.getPrototypeOf(body) === null ? { ...body } : body;
}

/** What is too long is read to its end and thrown away: a connection that is cut does not bring the answer to the sender. */
function readStream(stream: IncomingMessage, maxBytes: number): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    if (stream.destroyed) return reject(new BadRequestException('the body did not come to its end'));
    const chunks: Buffer[] = [];
    let size = 0;
    const done = (settle: () => void): void => {
      stream.off('data', take).off('end', ended).off('error', failed).off('close', failed);
      stream.on('error', ignore).resume();
      settle();
    };
    const take = (chunk: Buffer): void => {
      size += chunk.length;
      if (size > maxBytes) done(() => reject(new PayloadTooLargeException()));
      else chunks.push(chunk);
    };
    const ended = (): void => done(() => resolve(Buffer.concat(chunks)));
    const failed = (): void => done(() => reject(new BadRequestException('the body did not come to its end')));
    if (Number(stream.headers['content-length'] ?? 0) > maxBytes) return done(() => reject(new PayloadTooLargeException()));
    stream.on('data', take).on('end', ended).on('error', failed).on('close', failed);
  });
}

function ignore(): void {
  // The sender is gone.
}
