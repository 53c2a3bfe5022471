import { Readable } from 'node:stream';

import type { HttpAdapterHost } from '@nestjs/core';

/** Handler in the middleware stack of an Express application. */
interface Layer {
  readonly name?: string;
  readonly handle?: (request: object, response: object, next: (error?: unknown) => void) => void;
}

/**
 * Determines whether the application keeps the raw bodies of requests. Nest does not expose this
 * setting, so the check passes a body to Express's JSON parser and examines the result.
 *
 * @returns `unknown` on Fastify, and for an application with parsers of its own
 */
export async function keepsRawBodies(adapter: HttpAdapterHost['httpAdapter'] | undefined): Promise<'yes' | 'no' | 'unknown'> {
  if (adapter?.getType() !== 'express') return 'unknown';
  const { router } = adapter.getInstance<{ router?: { stack?: readonly Layer[] } }>();
  const parser = router?.stack?.find(({ name }) => name === 'jsonParser')?.handle;
  if (!parser) return 'unknown';
  const request = Object.assign(Readable.from([Buffer.from('{}')]), {
    method: 'POST',
    headers: { 'content-type': 'application/json', 'content-length': '2' },
  });
  try {
    await new Promise<void>((resolve, reject) => {
      parser(request, {}, (error) => (error === undefined ? resolve() : reject(new Error('the parser refused', { cause: error }))));
    });
  } catch {
    return 'unknown';
  }
  return 'rawBody' in request ? 'yes' : 'no';
}
