import { Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';

import { WorkflowClient, WorkflowModule } from '../../src/index.js';

/** Settings that the test passes to this process. */
interface StreamReaderSettings {
  url: string;
  runId: string;
  stream: string;
  from: number;
}

const { url, runId, stream, from } = JSON.parse(process.env['READER_SETTINGS']!) as StreamReaderSettings;

@Module({ imports: [WorkflowModule.forRoot({ connection: { url }, worker: false })] })
class ReaderModule {}

/** Prints each event of a stream as a line of JSON, until the end. */
async function main(): Promise<void> {
  const app = await NestFactory.createApplicationContext(ReaderModule, { logger: false });
  let next = from;
  for (;;) {
    try {
      for await (const event of app.get(WorkflowClient).getHandle(runId).stream(stream, { form: 'events', from: next })) {
        console.log(JSON.stringify(event));
        next = event.index + 1;
      }
      break;
    } catch {
      // The database was away.
    }
  }
  await app.close();
}

void main();
