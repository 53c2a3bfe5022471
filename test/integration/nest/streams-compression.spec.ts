import type { AddressInfo } from 'node:net';

import { Controller, Module, Param, Sse, type MessageEvent } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { afterAll, beforeAll, expect, it } from '@jest/globals';
import compression from 'compression';
import type { Observable } from 'rxjs';

import { defineSignal, Workflow, WorkflowClient, WorkflowModule, type WorkflowContext, type WorkflowHandle } from '../../../src/index.js';
import { closeApplications, closeLater } from '../../support/application.js';
import { createTestDatabase, type TestDatabase } from '../../support/database.js';
import { readUntil } from '../../support/read-until.js';

const more = defineSignal<string>('more');

@Workflow({ name: 'repeats' })
class Repeats {
  async run(_input: void, ctx: WorkflowContext): Promise<void> {
    for (;;) await ctx.stream('answer').write(await ctx.waitForSignal(more));
  }
}

@Controller()
class OwnController {
  constructor(private readonly client: WorkflowClient) {}

  @Sse('own/:id')
  answer(@Param('id') id: string): Observable<MessageEvent> {
    return this.client.getHandle(Repeats, id).sse('answer');
  }
}

let database: TestDatabase;
let url: string;
let handle: WorkflowHandle;
beforeAll(async () => {
  database = await createTestDatabase();
  const imports = [WorkflowModule.forRoot({ connection: { url: database.url }, worker: {}, http: { streams: { guards: [] } } })];
  @Module({ imports, controllers: [OwnController], providers: [Repeats] })
  class AppModule {}
  const app = await NestFactory.create(AppModule, { logger: false });
  closeLater(app);
  app.use(compression({ threshold: 0 }));
  await app.listen(0, '127.0.0.1');
  url = `http://127.0.0.1:${(app.getHttpServer().address() as AddressInfo).port}`;
  handle = await app.get(WorkflowClient).start(Repeats);
});
afterAll(async () => {
  await closeApplications();
  await database.drop();
});

const get = (path: string, accept: string): Promise<Response> =>
  fetch(`${url}/${path}`, { headers: { accept, 'accept-encoding': 'gzip', connection: 'close' } });

it('compression() compresses a page of chunks', async () => {
  const response = await get(`workflow/runs/${handle.runId}/streams/answer`, 'application/json');
  expect(response.headers.get('content-encoding')).toBe('gzip');
  expect(await response.json()).toMatchObject({ state: 'open' });
});

it.each([
  ['the endpoint', () => `workflow/runs/${handle.runId}/streams/answer`],
  ['handle.sse in a controller', () => `own/${handle.runId}`],
])('compression() passes on each event of %s as it arrives', async (_, path) => {
  const response = await get(path(), 'text/event-stream');
  expect(response.headers.get('content-encoding')).toBeNull();
  const reader = response.body!.getReader();
  // Each signal is sent after the event of the previous signal has arrived.
  for (const word of ['one', 'two', 'three']) {
    await handle.signal(more, `${word} of ${path()}`);
    await readUntil(reader, `data: "${word} of ${path()}"\n`);
  }
  await reader.cancel();
});
