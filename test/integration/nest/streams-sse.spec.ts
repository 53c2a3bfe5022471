import type { AddressInfo } from 'node:net';

import { Controller, Headers, Module, Param, Sse, UseFilters, type INestApplication, type MessageEvent } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { afterAll, afterEach, beforeAll, expect, it } from '@jest/globals';
import type { Observable } from 'rxjs';

import {
  defineSignal,
  Workflow,
  WorkflowClient,
  WorkflowExceptionFilter,
  WorkflowModule,
  type WorkflowContext,
} from '../../../src/index.js';
import { closeApplications, closeLater } from '../../support/application.js';
import { createTestDatabase, type TestDatabase } from '../../support/database.js';
import { readUntil } from '../../support/read-until.js';
import { waitFor } from '../../support/wait.js';

const more = defineSignal<string>('more');

@Workflow({ name: 'repeats' })
class Repeats {
  async run(_input: void, ctx: WorkflowContext): Promise<void> {
    for (;;) await ctx.stream('answer').write(await ctx.waitForSignal(more));
  }
}

@Controller()
@UseFilters(WorkflowExceptionFilter)
class OwnController {
  constructor(private readonly client: WorkflowClient) {}

  @Sse('own/:id')
  async answer(@Param('id') id: string, @Headers('last-event-id') lastEventId?: string): Promise<Observable<MessageEvent>> {
    const handle = this.client.getHandle(Repeats, id);
    await handle.status();
    return handle.sse('answer', { lastEventId });
  }
}

let database: TestDatabase;
beforeAll(async () => {
  database = await createTestDatabase();
});
afterEach(closeApplications);
afterAll(() => database.drop());

const boot = async (): Promise<{ app: INestApplication; url: string; client: WorkflowClient }> => {
  const imports = [WorkflowModule.forRoot({ connection: { url: database.url }, worker: {} })];
  @Module({ imports, controllers: [OwnController], providers: [Repeats] })
  class AppModule {}
  const app = await NestFactory.create(AppModule, { logger: false });
  closeLater(app);
  await app.listen(0, '127.0.0.1');
  const url = `http://127.0.0.1:${(app.getHttpServer().address() as AddressInfo).port}`;
  return { app, url, client: app.get(WorkflowClient) };
};

it('handle.sse in a controller continues by Last-Event-ID, and ends when the application closes', async () => {
  const { app, url, client } = await boot();
  const handle = await client.start(Repeats);
  for (const word of ['one', 'two', 'three']) await handle.signal(more, word);
  const response = await fetch(`${url}/own/${handle.runId}`, { headers: { 'last-event-id': '0' } });
  const reader = response.body!.getReader();
  let received = await readUntil(reader, '"three"');
  const closed = app.close();
  for (let part = await reader.read(); !part.done; part = await reader.read()) received += Buffer.from(part.value).toString();
  await closed;
  expect(received.trim()).toBe('id: 1\ndata: "two"\n\nid: 2\ndata: "three"');
});

it('handle.sse in a controller refuses a run that does not exist, and keeps the place of the client after an error', async () => {
  const { url, client } = await boot();
  expect((await fetch(`${url}/own/unknown`)).status).toBe(404);
  const handle = await client.start(Repeats);
  for (const word of ['one', 'two', 'three']) await handle.signal(more, word);
  await waitFor(async () => (await client.streams(handle.runId))[0]?.length === 3);
  // A chunk of a codec that this process does not have.
  await database.query(
    `UPDATE durable.workflow_stream_chunks SET data = '{"$durable":"encoded","value":"x"}' WHERE run_id = $1 AND seq = 2`,
    [handle.runId],
  );
  const received = await (await fetch(`${url}/own/${handle.runId}`)).text();
  // Nest would give the id 1 to an event of its own, and the browser would skip the chunk 1.
  expect(received.trim()).toBe('id: 0\ndata: "one"\n\nevent: error\nid: 0\ndata: {}');
});
