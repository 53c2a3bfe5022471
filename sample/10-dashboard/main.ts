// npm run sample:dashboard: a busy shop, and the dashboard that shows its runs. Ends with Ctrl+C.
import 'reflect-metadata';

import { NestFactory } from '@nestjs/core';
import { WorkflowClient } from 'nestjs-durable';

import { AppModule } from './app.module.js';
import { Traffic } from './traffic.js';

async function main(): Promise<void> {
  // A browser keeps connections open, for which the close of the server would wait.
  const app = await NestFactory.create(AppModule, { logger: ['error', 'warn'], forceCloseConnections: true });
  app.enableShutdownHooks();
  await app.listen(Number(process.env['PORT'] ?? '3000'), '127.0.0.1');
  const traffic = new Traffic(app.get(WorkflowClient));
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => traffic.stop());
  await traffic.begin();
  console.log(`The dashboard: ${await app.getUrl()}/workflow/dashboard`);
  console.log('The shop gets an order every second or two. Press Ctrl+C to end.');
  await traffic.continue();
}

main().catch((error: unknown) => {
  console.error('The sample failed:', error);
  process.exit(1);
});
