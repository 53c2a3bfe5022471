import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';

import { replyTo, type ChatMessage } from './model-script.js';

/** A request to the model. A provider would charge for each one that is not refused. */
export interface ModelCall {
  /** Idempotency key of the step that calls. */
  readonly key: string;
  state: 'refused' | 'under way' | 'finished' | 'interrupted';
  /** Number of words that were sent. */
  words: number;
}

/**
 * A local server that speaks the streaming protocol of OpenAI-compatible models: `POST
 * /v1/chat/completions`. Refuses the first call of each conversation, as a busy provider does.
 */
export class ModelServer {
  /** The calls so far, oldest first. */
  readonly calls: ModelCall[] = [];

  private constructor(
    private readonly server: Server,
    /** Milliseconds between two words. */
    public paceMs: number,
  ) {}

  /** Starts the server on a free port. */
  static async start({ paceMs }: { paceMs: number }): Promise<ModelServer> {
    const server = createServer((request, response) => {
      model.answer(request, response).catch(() => response.destroy());
    });
    const model = new ModelServer(server, paceMs);
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    return model;
  }

  /** Base URL, as OpenAI-compatible clients expect it. */
  get url(): string {
    return `http://127.0.0.1:${(this.server.address() as AddressInfo).port}/v1`;
  }

  async close(): Promise<void> {
    const closed = new Promise((resolve) => this.server.close(resolve));
    this.server.closeAllConnections();
    await closed;
  }

  private async answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    if (request.method !== 'POST' || request.url !== '/v1/chat/completions') return void response.writeHead(404).end();
    const { model, messages, stream } = JSON.parse(await textOf(request)) as { model: string; messages: ChatMessage[]; stream?: boolean };
    if (!stream) return void response.writeHead(400).end();
    const key = String(request.headers['idempotency-key']);
    const call: ModelCall = { key, state: 'under way', words: 0 };
    this.calls.push(call);
    if (!messages.some(({ role }) => role === 'assistant') && this.calls.filter((each) => each.key === key).length === 1) {
      call.state = 'refused';
      return void response.writeHead(503, { 'content-type': 'application/json' }).end(JSON.stringify({ error: { message: 'busy' } }));
    }
    response.once('close', () => {
      if (call.state === 'under way') call.state = 'interrupted';
    });
    await this.stream(call, messages, response, model);
  }

  private async stream(call: ModelCall, messages: readonly ChatMessage[], response: ServerResponse, model: string): Promise<void> {
    const send = (delta: object, finishReason: string | null = null): void => {
      const choices = [{ index: 0, delta, finish_reason: finishReason }];
      const chunk = { id: `chatcmpl-${this.calls.length}`, object: 'chat.completion.chunk', created: 1, model, choices };
      response.write(`data: ${JSON.stringify(chunk)}\n\n`);
    };
    const reply = replyTo(messages);
    response.writeHead(200, { 'content-type': 'text/event-stream' });
    send({ role: 'assistant', content: '' });
    for (const word of reply.text.match(/\S+\s*/g) ?? []) {
      await sleep(this.paceMs);
      if (response.destroyed) return;
      send({ content: word });
      call.words++;
    }
    if (reply.call) {
      const { name, input } = reply.call;
      const id = `call_${messages.length}`;
      send({ tool_calls: [{ index: 0, id, type: 'function', function: { name, arguments: '' } }] });
      // The arguments arrive in parts too.
      for (const part of JSON.stringify(input).match(/.{1,8}/g) ?? []) send({ tool_calls: [{ index: 0, function: { arguments: part } }] });
    }
    send({}, reply.call ? 'tool_calls' : 'stop');
    call.state = 'finished';
    response.end('data: [DONE]\n\n');
  }
}

async function textOf(request: IncomingMessage): Promise<string> {
  const parts: Buffer[] = [];
  for await (const part of request) parts.push(part as Buffer);
  return Buffer.concat(parts).toString();
}
