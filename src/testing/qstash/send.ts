import { request as requestHttp } from 'node:http';
import { request as requestHttps } from 'node:https';
import type { Headers } from './publication.js';

/** Maximum number of bytes in an answer. Further bytes are dropped. */
const MAX_ANSWER_BYTES = 1_048_576;

export interface OutgoingRequest {
  readonly url: string;
  readonly method: string;
  readonly headers: Headers;
  readonly body: Buffer;
  readonly signal: AbortSignal;
}

export interface Answer {
  /** Status code of the answer; undefined when no answer arrived. */
  readonly status: number | undefined;
  readonly headers: Readonly<Record<string, string[]>>;
  readonly body: Buffer;
  /** Reason why no answer arrived; undefined when an answer arrived. */
  readonly error: string | undefined;
}

/**
 * Sends one HTTP request on a new connection. Never rejects: without an answer, the result contains
 * the error.
 */
export function sendRequest({ url, method, headers, body, signal }: OutgoingRequest): Promise<Answer> {
  return new Promise((resolve) => {
    const fail = ({ message }: { readonly message: string }): void =>
      resolve({ status: undefined, headers: {}, body: Buffer.alloc(0), error: message });
    try {
      const request = url.startsWith('https:') ? requestHttps : requestHttp;
      const outgoing = request(url, { method, headers: { ...headers, 'content-length': String(body.byteLength) }, agent: false, signal });
      outgoing.on('error', fail);
      outgoing.on('response', (response) => {
        const chunks: Buffer[] = [];
        let size = 0;
        response.on('data', (chunk: Buffer) => {
          if (size < MAX_ANSWER_BYTES) chunks.push(chunk.subarray(0, MAX_ANSWER_BYTES - size));
          size += chunk.byteLength;
        });
        response.on('error', fail);
        // Treat an incomplete answer as a missing answer.
        response.on('close', () => {
          if (!response.complete) fail({ message: 'the connection was closed before the answer was complete' });
        });
        response.on('end', () => {
          if (!response.complete) return;
          const { statusCode, headersDistinct } = response;
          resolve({
            status: statusCode,
            headers: headersDistinct as Record<string, string[]>,
            body: Buffer.concat(chunks),
            error: undefined,
          });
        });
      });
      outgoing.end(body);
    } catch (error) {
      // Node throws when the request has a header that cannot be sent.
      fail(error as Error);
    }
  });
}
