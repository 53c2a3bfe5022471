import type { INestApplication, Type } from '@nestjs/common';
import { FastifyAdapter, type NestFastifyApplication } from '@nestjs/platform-fastify';
import { Test } from '@nestjs/testing';

import { AppModule } from './app.module.js';

export async function createApplication(module: Type = AppModule): Promise<INestApplication> {
  const testing = await Test.createTestingModule({ imports: [module] }).compile();
  return testing.createNestApplication<NestFastifyApplication>(new FastifyAdapter(), { logger: ['fatal'], rawBody: true });
}
