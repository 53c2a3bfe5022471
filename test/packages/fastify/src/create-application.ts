import type { INestApplication } from '@nestjs/common';
import { FastifyAdapter, type NestFastifyApplication } from '@nestjs/platform-fastify';
import { Test } from '@nestjs/testing';

import { AppModule } from './app.module.js';

export async function createApplication(): Promise<INestApplication> {
  const testing = await Test.createTestingModule({ imports: [AppModule] }).compile();
  return testing.createNestApplication<NestFastifyApplication>(new FastifyAdapter(), { logger: ['fatal'] });
}
