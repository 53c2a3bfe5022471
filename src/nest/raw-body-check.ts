import { Readable } from 'node:stream';

import type { HttpAdapterHost } from '@nestjs/core';

/** Layer of an Express application. */
interface Layer {
  readonly name?: string;
  readonly handle?: (request: object, response: object, next: (error?: unknown) => void) => void;
}

/**
 * Finds out whether the application keeps the raw bodies of requests. Nest does not expose this
 * setting. The check therefore gives Express's JSON parser a body and examines the result.
 *
 * @returns `unknown` on Fastify, and with parsers of the application's own
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
