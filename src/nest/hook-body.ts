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
  const { body, rawBody } = request;
  if (rawBody && rawBody.length > maxBytes) throw new PayloadTooLargeException();
  if (body !== undefined && body !== null) {
    if (Buffer.isBuffer(body)) return fromBytes(body, request.headers, maxBytes);
    // A parser of texts: what is not UTF-8 does not come out as it went in, and fails its signature.
    return { raw: rawBody ?? (typeof body === 'string' ? Buffer.from(body) : undefined), value: plain(body) };
  }
  if (rawBody) return fromBytes(rawBody, request.headers, maxBytes);
  const stream = request.raw ?? (request as unknown as IncomingMessage);
  const bytes = await readStream(stream, maxBytes);
  if (bytes.length > 0 && (request.headers['content-encoding'] ?? 'identity') !== 'identity') throw new UnsupportedMediaTypeException();
  return fromBytes(bytes, request.headers, maxBytes);
}

function fromBytes(raw: Buffer, headers: IncomingHttpHeaders, maxBytes: number): HookBody {
  if (raw.length > maxBytes) throw new PayloadTooLargeException();
  return { raw, value: raw.length === 0 ? null : parse(raw, headers['content-type'] ?? '') };
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
    if (stream.readableEnded) return resolve(Buffer.alloc(0));
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
