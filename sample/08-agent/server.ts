// The application in a process of its own: page, worker and endpoint for streams. main.ts starts
// this process, kills it, and starts it again on the same port.
import 'reflect-metadata';

import { NestFactory } from '@nestjs/core';

import { AppModule } from './app.module.js';

async function serve(): Promise<void> {
  const { DATABASE_URL: databaseUrl = '', MODEL_URL: modelUrl = '', PORT: port = '0' } = process.env;
  const app = await NestFactory.create(AppModule.forRoot({ databaseUrl, modelUrl }), { logger: ['error'], abortOnError: false });
  app.enableShutdownHooks();
  await app.listen(Number(port), '127.0.0.1');
  const url = await app.getUrl();
  if (process.send) process.send(url);
  else console.log(`listening on ${url}`);
  process.once('disconnect', () => process.exit()); // the parent process has ended
}

serve().catch((error: unknown) => {
  console.error('The application failed:', error);
  process.exit(1);
});
