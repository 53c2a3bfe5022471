import { createServer, type AddressInfo } from 'node:net';

import { Module, type INestApplication } from '@nestjs/common';
import {
  startEmbeddedPostgres,
  Workflow,
  WorkflowClient,
  WorkflowModule,
  type EmbeddedPostgres,
  type WorkflowContext,
} from 'nestjs-durable';
import { QStashEmulator } from 'nestjs-durable/testing';

import { createApplication } from './create-application.js';

@Workflow({ name: 'greeting' })
class GreetingWorkflow {
  async run(name: string, ctx: WorkflowContext): Promise<string> {
    const text = await ctx.step('greet', async () => `hello ${name}`);
    await ctx.sleep(1_000);
    return ctx.step('shout', async () => text.toUpperCase());
  }
}

let server: EmbeddedPostgres;
let qstash: QStashEmulator;
let app: INestApplication;
let url: string;

async function freePort(): Promise<number> {
  const probe = createServer();
  await new Promise<void>((resolve) => probe.listen(0, '127.0.0.1', resolve));
  const { port } = probe.address() as AddressInfo;
  await new Promise((resolve) => probe.close(resolve));
  return port;
}

beforeAll(async () => {
  [server, qstash] = await Promise.all([startEmbeddedPostgres({ fast: true }), QStashEmulator.start()]);
  const port = await freePort();
  const targetUrl = `http://127.0.0.1:${port}`;
  const { token, currentSigningKey, nextSigningKey } = qstash;
  @Module({
    imports: [
      WorkflowModule.forRoot({
        transport: 'qstash',
        connection: { url: server.url },
        qstash: { url: qstash.url, token, currentSigningKey, nextSigningKey, targetUrl },
      }),
    ],
    providers: [GreetingWorkflow],
  })
  class PushedModule {}
  app = await createApplication(PushedModule);
  app.setGlobalPrefix('api');
  await app.listen(port, '127.0.0.1');
  url = `${targetUrl}/workflow/qstash`;
}, 60_000);

afterAll(async () => {
  await app?.close();
  await qstash?.close();
  await server?.stop();
}, 60_000);

const post = async (body: string, headers: Record<string, string> = {}): Promise<number> => {
  const response = await fetch(url, { method: 'POST', headers: { 'content-type': 'application/json', ...headers }, body });
  await response.arrayBuffer();
  return response.status;
};

describe('a shop that QStash drives', () => {
  it('executes a run with a sleep in two messages', async () => {
    const handle = await app.get(WorkflowClient).start(GreetingWorkflow, 'Ada');
    expect(await handle.result({ timeout: '30s' })).toBe('HELLO ADA');
    expect(qstash.messages.filter((message) => message.url === url)).toHaveLength(2);
  }, 60_000);

  it('believes nobody but QStash', async () => {
    const body = JSON.stringify({ v: 1, run: 'nobody', queue: 'default', seq: '0.0' });
    expect(await post(body)).toBe(401);
    expect(await post(`${body} `, { 'upstash-signature': qstash.sign({ url, body }) })).toBe(401);
    expect(await post(body, { 'upstash-signature': qstash.sign({ url, body }) })).toBe(200);
    expect(await post('x'.repeat(20_000), { 'content-type': 'text/plain' })).toBe(413);
  }, 60_000);
});
