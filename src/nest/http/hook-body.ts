import type { IncomingHttpHeaders, IncomingMessage } from 'node:http';
import { TextDecoder } from 'node:util';

import { BadRequestException, PayloadTooLargeException, UnsupportedMediaTypeException } from '@nestjs/common';

/** Request object, as Express and Fastify pass it to handlers. */
export interface HookHttpRequest {
  readonly headers: IncomingHttpHeaders;
  /** Parsed body, from the application's body parser. */
  readonly body?: unknown;
  /**
   * Raw bytes of the body, which Nest keeps when the application has the option `rawBody: true`.
   */
  readonly rawBody?: Buffer;
  /** Request object of Node, which Fastify adds to its own. */
  readonly raw?: IncomingMessage;
}

/** Body of a request to a hook. */
export interface HookBody {
  /**
   * Unchanged bytes of the body; undefined when a parser of the application has read the body
   * without keeping the bytes.
   */
  readonly raw: Buffer | undefined;
  readonly value: unknown;
}

/**
 * Reads the body of a request. Uses the result of the application's parser, or reads the bytes if
 * no parser has read them yet.
 *
 * @param maxBytes maximum size, in bytes
 * @returns the parsed body, with its raw bytes if they are available
 * @throws PayloadTooLargeException, UnsupportedMediaTypeException, BadRequestException
 */
export async function readBody(request: HookHttpRequest, maxBytes: number): Promise<HookBody> {
  const { body, headers } = request;
  if (body !== undefined && body !== null && !Buffer.isBuffer(body)) return { raw: keptBytes(request, maxBytes), value: plain(body) };
  const raw = await readRawBody(request, maxBytes);
  return { raw, value: raw === undefined || raw.length === 0 ? null : parse(raw, headers['content-type'] ?? '') };
}

/**
 * Reads the raw bytes of a body of any content type.
 *
 * @param maxBytes maximum size, in bytes
 * @returns the bytes; undefined when a parser has read the body without keeping them
 * @throws PayloadTooLargeException, UnsupportedMediaTypeException, BadRequestException
 */
export async function readRawBody(request: HookHttpRequest, maxBytes: number): Promise<Buffer | undefined> {
  const kept = keptBytes(request, maxBytes);
  if (kept) return kept;
  const stream = request.raw ?? (request as unknown as IncomingMessage);
  const { headers } = request;
  const isAnnounced = Number(headers['content-length'] ?? 0) > 0;
  // The parser's result does not show whether the body was read: some parsers return an empty
  // object for a body that they have skipped. The stream shows whether it was read.
  if (stream.readableDidRead || stream.readableEnded)
    return isAnnounced || headers['transfer-encoding'] !== undefined ? undefined : Buffer.alloc(0);
  const bytes = await readStream(stream, maxBytes);
  if (bytes.length > 0 && (headers['content-encoding'] ?? 'identity') !== 'identity') throw new UnsupportedMediaTypeException();
  return isAnnounced && bytes.length === 0 ? undefined : bytes;
}

/**
 * Returns the bytes that the application's parser has kept; undefined when the parser has kept
 * none. Text from a text parser is encoded again. Such a parser replaces bytes that are not UTF-8,
 * so a verifier that checks a signature over the original bytes refuses the request.
 */
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

/** Converts the fields of a form. A field that occurs several times becomes an array. */
function formOf(fields: URLSearchParams): Record<string, string | string[]> {
  return Object.fromEntries(
    [...new Set(fields.keys())].map((name) => {
      const values = fields.getAll(name);
      return [name, values.length === 1 ? values[0]! : values];
    }),
  );
}

/**
 * Copies an object without a prototype into a plain object, which is what workflows expect. Some
 * form parsers create objects without a prototype.
 */
function plain(body: unknown): unknown {
  return typeof body === 'object' && body !== null && Object.getPrototypeOf(body) === null ? { ...body } : body;
}

/**
 * Reads a stream. Reads a body that is too large to its end, and discards the bytes. If the server
 * cut the connection instead, the sender would not receive the answer.
 */
function readStream(stream: IncomingMessage, maxBytes: number): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    if (stream.destroyed) return reject(new BadRequestException('the body is incomplete'));
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
    const failed = (): void => done(() => reject(new BadRequestException('the body is incomplete')));
    if (Number(stream.headers['content-length'] ?? 0) > maxBytes) return done(() => reject(new PayloadTooLargeException()));
    stream.on('data', take).on('end', ended).on('error', failed).on('close', failed);
  });
}

function ignore(): void {
  // Ignored, because the error means that the sender has disconnected.
}
