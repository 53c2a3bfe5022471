import type { INestApplication, NestApplicationOptions } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import type { NestExpressApplication } from '@nestjs/platform-express';
import { describe } from '@jest/globals';

export type HttpPlatform = 'express' | 'fastify';

/** The HTTP servers of Nest, each with the `describe` of its tests. */
export const httpPlatforms: readonly [HttpPlatform, (name: string, tests: () => void) => void][] = [
  ['express', describe],
  ['fastify', describe],
];

/**
 * Makes an application on one of the HTTP servers.
 *
 * @param trusted addresses of the proxies whose headers the server believes
 */
export async function createHttpApplication(
  platform: HttpPlatform,
  root: object,
  options: NestApplicationOptions,
  trusted: readonly string[] = [],
): Promise<INestApplication> {
  if (platform === 'express') {
    const app = await NestFactory.create<NestExpressApplication>(root as never, options);
    app.set('trust proxy', trusted);
    return app;
  }
  const { FastifyAdapter } = await import('@nestjs/platform-fastify');
  return NestFactory.create(root as never, new FastifyAdapter(trusted.length > 0 ? { trustProxy: [...trusted] } : {}), options);
}
