import type { INestApplication, NestApplicationOptions } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { describe } from '@jest/globals';

export type HttpPlatform = 'express' | 'fastify';

/** The HTTP servers of Nest, each with the `describe` of its tests. */
export const httpPlatforms: readonly [HttpPlatform, (name: string, tests: () => void) => void][] = [
  ['express', describe],
  ['fastify', describe],
];

/** Makes an application on one of the HTTP servers. */
export async function createHttpApplication(
  platform: HttpPlatform,
  root: object,
  options: NestApplicationOptions,
): Promise<INestApplication> {
  if (platform === 'express') return NestFactory.create(root as never, options);
  const { FastifyAdapter } = await import('@nestjs/platform-fastify');
  return NestFactory.create(root as never, new FastifyAdapter(), options);
}
