import type { INestApplication, Type } from '@nestjs/common';
import { Test } from '@nestjs/testing';

import { AppModule } from './app.module.js';

export async function createApplication(module: Type = AppModule): Promise<INestApplication> {
  const testing = await Test.createTestingModule({ imports: [module] }).compile();
  return testing.createNestApplication({ logger: ['fatal'], rawBody: true });
}
