import type { INestApplicationContext } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import type { WorkerModuleOptions } from 'nestjs-durable';

import { AppModule } from './app.module.js';

/** Without a web server: these processes have nothing to listen for. */
export function bootApplication(url: string, worker: WorkerModuleOptions | false): Promise<INestApplicationContext> {
  return NestFactory.createApplicationContext(AppModule.forRoot(url, worker), { logger: ['error'], abortOnError: false });
}
