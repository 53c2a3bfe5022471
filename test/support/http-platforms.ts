import { createRequire } from 'node:module';
import { join } from 'node:path';

import type { INestApplication, NestApplicationOptions } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { describe } from '@jest/globals';

const FASTIFY = '@nestjs/platform-fastify';

export type HttpPlatform = 'express' | 'fastify';

/**
 * The HTTP servers of Nest, each with the `describe` of its tests. Fastify is not a dependency of
 * this repository: its tests run where it is installed.
 */
export const httpPlatforms: readonly [HttpPlatform, (name: string, tests: () => void) => void][] = [
  ['express', describe],
  ['fastify', isInstalled(FASTIFY) ? describe : describe.skip],
];

function isInstalled(name: string): boolean {
  try {
    createRequire(join(process.cwd(), 'package.json')).resolve(name);
    return true;
  } catch {
    return false;
  }
}

/** Makes an application on one of the HTTP servers. */
export async function createHttpApplication(
  platform: HttpPlatform,
  root: object,
  options: NestApplicationOptions,
): Promise<INestApplication> {
  if (platform === 'express') return NestFactory.create(root as never, options);
  const { FastifyAdapter } = (await import(FASTIFY)) as { FastifyAdapter: new () => never };
  return NestFactory.create(root as never, new FastifyAdapter(), options);
}
