// npm run sample:children: a workflow with 200 children. See README.md.
import 'reflect-metadata';

import { setTimeout as sleep } from 'node:timers/promises';

import { Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { WorkflowClient, WorkflowModule } from 'nestjs-durable';

import { GalleryWorkflow, PictureWorkflow } from './gallery.workflow.js';

const PICTURES = 200;

const url = process.env['DATABASE_URL'];

@Module({
  imports: [
    WorkflowModule.forRoot({
      connection: url ? { url } : { embedded: true },
      schema: 'durable_fan_out',
      worker: { concurrency: 100 },
    }),
  ],
  providers: [GalleryWorkflow, PictureWorkflow],
})
class AppModule {}

async function main(): Promise<void> {
  const app = await NestFactory.createApplicationContext(AppModule, { logger: ['error'], abortOnError: false });
  try {
    const client = app.get(WorkflowClient);
    const began = performance.now();
    const handle = await client.start(GalleryWorkflow, { pictures: PICTURES });
    const result = handle.result({ timeout: '2m' });
    const ended = result.then(
      () => true,
      () => true,
    );
    for (let isOver = false; !isOver; isOver = await Promise.race([ended, sleep(200, false)])) {
      const done = await client.count({ name: 'picture', status: 'completed', tags: { gallery: handle.runId } });
      console.log(`  ${String(done).padStart(3)} of ${PICTURES} ${'#'.repeat(Math.round((done / PICTURES) * 40))}`);
    }
    const { pictures, bytes } = await result;
    console.log(`result: ${pictures} pictures, ${bytes} bytes, in ${((performance.now() - began) / 1_000).toFixed(1)} s`);
  } finally {
    await app.close();
  }
}

main().catch((error: unknown) => {
  console.error('The sample failed:', error);
  process.exit(1);
});
