import type { INestApplicationContext } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import type { WorkerOptions } from 'nestjs-durable';

import { AppModule } from './app.module.js';

/** Boots the application without a web server, because these processes serve no requests. */
export function bootApplication(url: string, worker: WorkerOptions | false): Promise<INestApplicationContext> {
  return NestFactory.createApplicationContext(AppModule.forRoot(url, worker), { logger: ['error'], abortOnError: false });
}
