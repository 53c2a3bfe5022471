import { request, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

import { Injectable, type CanActivate, type ExecutionContext, type INestApplication } from '@nestjs/common';
import { afterAll, afterEach, beforeAll, expect, it } from '@jest/globals';

import { currentStep, defineSignal, Workflow, WorkflowClient, WorkflowModule, type WorkflowContext } from '../../../src/index.js';
import type { WorkflowRuntime } from '../../../src/host/runtime.js';
import { deleteExpiredChunks, markStreamExpired } from '../../../src/store/sql/expired-streams.js';
import { WORKFLOW_RUNTIME } from '../../../src/nest/tokens.js';
import { bootApplication, closeApplications, closeLater } from '../../support/application.js';
import { createTestDatabase, type TestDatabase } from '../../support/database.js';
import { createHttpApplication, httpPlatforms } from '../../support/http-platforms.js';
import { waitFor } from '../../support/wait.js';

const more = defineSignal<string>('more');

let isRepaired = false;

/** Writes what it is sent until it is sent `stop`. */
@Workflow({ name: 'repeats' })
class Repeats {
  async run(_input: void, ctx: WorkflowContext): Promise<void> {
    const out = ctx.stream('answer');
    for (let word = ''; ;) {
      word = await ctx.waitForSignal(more);
      if (word === 'stop') return;
      if (word === 'fail') {
        if (!isRepaired) throw new Error('not repaired');
        continue;
      }
      if (word === 'close') {
        await out.close();
        continue;
      }
      await ctx.step('say', () => currentStep().stream('answer').write({ word }));
      await out.write(word);
    }
  }
}

/** Writes many chunks of 100 kB. */
@Workflow({ name: 'floods' })
class Floods {
  async run(count: number, ctx: WorkflowContext): Promise<void> {
    for (let index = 0; index < count; index++) await ctx.stream('flood').write('z'.repeat(100_000));
  }
}

@Injectable()
class UserGuard implements CanActivate {
  canActivate(context: ExecutionContext): boolean {
    const { headers } = context.switchToHttp().getRequest<{ headers: Record<string, string | undefined> }>();
    return headers['authorization'] === 'of a user';
  }
}

// A connection that stays open would delay the close of the application.
const USER = { authorization: 'of a user', connection: 'close' };

for (const [platform, describePlatform] of httpPlatforms) {
  describePlatform(`the endpoint for streams on ${platform}`, () => {
    let database: TestDatabase;
    let app: INestApplication;
    let client: WorkflowClient;
    let url: string;
    beforeAll(async () => {
      database = await createTestDatabase();
    });
    afterEach(closeApplications);
    afterAll(() => database.drop());

    const boot = async (streams: { guards: never[] | (typeof UserGuard)[] } | false): Promise<void> => {
      class AppModule {}
      const module = {
        module: AppModule,
        imports: [WorkflowModule.forRoot({ worker: {}, connection: { url: database.url }, http: { streams } })],
        providers: [Repeats, Floods],
      };
      app = await createHttpApplication(platform, module, { logger: false });
      closeLater(app);
      await app.listen(0, '127.0.0.1');
      client = app.get(WorkflowClient);
      url = `http://127.0.0.1:${(app.getHttpServer().address() as AddressInfo).port}/workflow/runs`;
    };
    const get = (path: string, headers: Record<string, string> = {}): Promise<Response> =>
      fetch(`${url}/${path}`, { headers: { ...USER, ...headers } });
    const events = { accept: 'text/event-stream' };

    /** Reads until the text has been received, or until the end. */
    const until = async (reader: ReadableStreamDefaultReader<Uint8Array>, text?: string): Promise<string> => {
      let received = '';
      for (;;) {
        const { done, value } = await reader.read();
        if (done) return received;
        received += Buffer.from(value).toString();
        if (text !== undefined && received.includes(text)) return received;
      }
    };

    it('is closed by default, and admits only what its guards admit', async () => {
      await boot(false);
      const { runId } = await client.start(Repeats);
      expect((await get(`${runId}/streams/answer`, events)).status).toBe(404);
      await client.cancel(runId);
      await closeApplications();
      await boot({ guards: [UserGuard] });
      expect((await get(`${runId}/streams/answer`, { ...events, authorization: 'none' })).status).toBe(403);
      expect((await get(`nobody/streams/answer`, events)).status).toBe(404);
      expect((await get(`${runId}/streams/answer`, { ...events, 'last-event-id': 'x' })).status).toBe(400);
      expect((await get(`${runId}/streams/answer?startIndex=x`)).status).toBe(400);
      expect((await get(`${runId}/streams/answer?limit=501`)).status).toBe(400);
    });

    it('sends events as they come, continues by Last-Event-ID, and answers 204 after the end', async () => {
      await boot({ guards: [UserGuard] });
      const handle = await client.start(Repeats);
      const path = `${handle.runId}/streams/answer`;
      const first = await get(path, events);
      expect(first.headers.get('content-type')).toBe('text/event-stream; charset=utf-8');
      expect(first.headers.get('cache-control')).toContain('no-transform');
      expect(first.headers.get('x-accel-buffering')).toBe('no');
      const reader = first.body!.getReader();
      await handle.signal(more, 'one');
      expect(await until(reader, '"one"\n')).toBe('retry: 1000\n\nid: 0\ndata: {"word":"one"}\n\nid: 1\ndata: "one"\n\n');
      await reader.cancel();
      await handle.signal(more, 'two');
      const second = (await get(path, { ...events, 'last-event-id': '1' })).body!.getReader();
      expect(await until(second, '"two"\n')).toBe('retry: 1000\n\nid: 2\ndata: {"word":"two"}\n\nid: 3\ndata: "two"\n\n');
      await handle.signal(more, 'stop');
      const end = 'event: end\nid: 4-end\ndata: {"state":"completed"}\n\n';
      expect(await until(second)).toBe(end);
      expect(await until((await get(`${path}?lastEventId=3`, events)).body!.getReader())).toBe(`retry: 1000\n\n${end}`);
      expect((await get(path, { ...events, 'last-event-id': '4-end' })).status).toBe(204);
    });

    it('sends pages as JSON, and 304 while nothing has changed', async () => {
      await boot({ guards: [] });
      const handle = await client.start(Repeats);
      const path = `${handle.runId}/streams/answer`;
      expect(await (await get(path, { accept: 'application/json' })).json()).toEqual({ events: [], next: 0, length: 0, state: 'open' });
      await handle.signal(more, 'one');
      await waitFor(async () => (await client.streams(handle.runId))[0]?.length === 2);
      const page = await get(`${path}?startIndex=-1`);
      expect(await page.json()).toEqual({ events: [{ type: 'chunk', index: 1, value: 'one' }], next: 2, length: 2, state: 'open' });
      const etag = page.headers.get('etag')!;
      expect((await get(`${path}?startIndex=2`, { 'if-none-match': etag })).status).toBe(304);
      await handle.signal(more, 'stop');
      await handle.result();
      const last = await get(`${path}?startIndex=0&limit=1`, { 'if-none-match': etag });
      expect(await last.json()).toEqual({
        events: [{ type: 'chunk', index: 0, value: { word: 'one' }, stepKey: 'say', attempt: 1 }],
        next: 1,
        length: 2,
        state: 'completed',
      });
    });

    it('answers 410 when retention has removed chunks that the client has not received', async () => {
      await boot({ guards: [UserGuard] });
      const handle = await client.start(Repeats);
      const path = `${handle.runId}/streams/answer`;
      await handle.signal(more, 'one');
      await waitFor(async () => (await client.streams(handle.runId))[0]?.length === 2);
      await handle.signal(more, 'stop');
      await handle.result();
      const before = (await get(`${path}?startIndex=2`)).headers.get('etag')!;
      const { database: connected } = app.get<WorkflowRuntime>(WORKFLOW_RUNTIME, { strict: false });
      const mark = await markStreamExpired(connected, { runId: handle.runId, stream: 'answer' }, { completed: 0 });
      // Clients learn of the removal as soon as it begins.
      expect((await get(path, events)).status).toBe(410);
      await deleteExpiredChunks(connected, handle.runId, 'answer', mark!);
      for (const from of ['0', '1', '-1']) expect((await get(`${path}?startIndex=${from}`)).status).toBe(410);
      expect((await get(path, { ...events, 'last-event-id': '0' })).status).toBe(410);
      const rest = await get(`${path}?startIndex=2`, { 'if-none-match': before });
      expect(await rest.json()).toEqual({ events: [], next: 2, length: 2, state: 'completed' });
      const end = (await get(path, { ...events, 'last-event-id': '1' })).body!.getReader();
      expect(await until(end)).toBe('retry: 1000\n\nevent: end\nid: 2-end\ndata: {"state":"completed"}\n\n');
    });

    it('sends the end of a removed stream to a client that has received all chunks', async () => {
      await boot({ guards: [UserGuard] });
      const handle = await client.start(Repeats);
      const path = `${handle.runId}/streams/answer`;
      for (const word of ['one', 'close', 'stop']) await handle.signal(more, word);
      await handle.result();
      const { database: connected } = app.get<WorkflowRuntime>(WORKFLOW_RUNTIME, { strict: false });
      const mark = await markStreamExpired(connected, { runId: handle.runId, stream: 'answer' }, { completed: 0 });
      await deleteExpiredChunks(connected, handle.runId, 'answer', mark!);
      const end = (await get(path, { ...events, 'last-event-id': '1' })).body!.getReader();
      expect(await until(end)).toBe('retry: 1000\n\nevent: end\nid: 3-end\ndata: {"state":"closed"}\n\n');
      expect(await (await get(`${path}?startIndex=2`)).json()).toEqual({ events: [], next: 3, length: 3, state: 'closed' });
      expect((await get(path, { ...events, 'last-event-id': '0' })).status).toBe(410);
    });

    it('answers 410 also when the chunks of a retried run follow the removed ones', async () => {
      await boot({ guards: [UserGuard] });
      const handle = await client.start(Repeats);
      const path = `${handle.runId}/streams/answer`;
      isRepaired = false;
      for (const word of ['one', 'fail']) await handle.signal(more, word);
      await expect(handle.result()).rejects.toThrow();
      const { database: connected } = app.get<WorkflowRuntime>(WORKFLOW_RUNTIME, { strict: false });
      const mark = await markStreamExpired(connected, { runId: handle.runId, stream: 'answer' }, { failed: 0 });
      await deleteExpiredChunks(connected, handle.runId, 'answer', mark!);
      isRepaired = true;
      await client.retry(handle.runId);
      await waitFor(async () => (await client.streams(handle.runId))[0]!.length > 2);
      const gone = await get(path, events);
      expect([gone.status, await gone.json()]).toMatchObject([410, { next: 2 }]);
      const rest = (await get(path, { ...events, 'last-event-id': '1' })).body!.getReader();
      expect(await until(rest, '"one"\n')).toContain('data: "one"\n\n');
      await handle.signal(more, 'stop');
      expect(await until(rest)).toContain('event: end');
    });

    it('ends open responses when the application closes, and frees what a client leaves', async () => {
      await boot({ guards: [UserGuard] });
      const handle = await client.start(Repeats);
      const { streams } = app.get<WorkflowRuntime>(WORKFLOW_RUNTIME, { strict: false });
      const left = request(`${url}/${handle.runId}/streams/answer`, { headers: { ...USER, ...events } }).end();
      left.on('error', () => undefined);
      const kept = (await get(`${handle.runId}/streams/answer`, events)).body!.getReader();
      await waitFor(() => streams.size === 2);
      left.destroy();
      await waitFor(() => streams.size === 1);
      await until(kept, 'retry');
      const ended = until(kept);
      await app.close();
      expect(await ended).toBe('');
      expect(streams.size).toBe(0);
    });

    it('waits for a client that reads nothing, delays no other client, and continues when the client reads', async () => {
      await boot({ guards: [UserGuard] });
      const handle = await client.start(Floods, 200);
      await handle.result();
      let longest = 0;
      let isFull = false;
      app.getHttpServer().prependOnceListener('request', (_: unknown, response: ServerResponse) => {
        const write = response.write.bind(response) as (data: string) => boolean;
        response.write = (data: string) => {
          isFull = !write(data);
          longest = Math.max(longest, response.writableLength);
          return !isFull;
        };
      });
      const path = `${url}/${handle.runId}/streams/flood`;
      const stalled = await new Promise<IncomingMessage>((resolve, reject) => {
        request(path, { headers: { ...USER, ...events } }, resolve)
          .on('error', reject)
          .end();
      });
      await waitFor(() => isFull);
      const ids = Array.from({ length: 200 }, (_, index) => `id: ${index}`);
      const other = await (await get(`${handle.runId}/streams/flood`, events)).text();
      expect(other.match(/^id: \d+$/gm)).toEqual(ids);
      // Without the wait, most of 20 MB would now be in the memory of the process.
      expect(longest).toBeLessThan(1_000_000);
      let received = '';
      for await (const part of stalled) received += String(part);
      expect(received.match(/^id: \d+$/gm)).toEqual(ids);
    });

    it('ends at once while it cannot read the stream, so that a browser connects again', async () => {
      await boot({ guards: [UserGuard] });
      const { runId } = await client.start(Repeats);
      await database.query('ALTER TABLE durable.workflow_stream_chunks RENAME TO away');
      try {
        const response = await get(`${runId}/streams/answer`, events);
        expect([response.status, await response.text()]).toEqual([200, 'retry: 1000\n\n']);
        expect((await get(`${runId}/streams/answer`, { accept: 'application/json' })).status).toBe(503);
      } finally {
        await database.query('ALTER TABLE durable.away RENAME TO workflow_stream_chunks');
      }
      expect((await get('unknown/streams/answer', events)).status).toBe(404);
    });

    it('refuses options without guards', () => {
      const http = { streams: true } as never;
      expect(() => WorkflowModule.forRoot({ http })).toThrow('http.streams must be false, or an object that names its guards');
    });

    it('is refused twice under one path', async () => {
      const connection = { url: database.url };
      const http = { streams: { guards: [] } };
      const imports = [WorkflowModule.forRoot({ connection, http }), WorkflowModule.forRoot({ name: 'other', connection, http })];
      await expect(bootApplication({ imports })).rejects.toThrow('two WorkflowModules have endpoints under "workflow"');
    });
  });
}
