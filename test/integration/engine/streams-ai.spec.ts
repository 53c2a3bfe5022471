import { readFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';

import { createOpenAICompatible } from '@ai-sdk/openai-compatible';
import { Inject, Injectable } from '@nestjs/common';
import { streamText, type LanguageModel, type TextStreamPart, type ToolSet } from 'ai';
import { afterAll, afterEach, beforeAll, expect, it } from '@jest/globals';

import { currentStep, Step, Workflow, type StreamEvent } from '../../../src/index.js';
import { closeApplications, startApplication } from '../../support/application.js';
import { createTestDatabase, type TestDatabase } from '../../support/database.js';

const MODEL = Symbol('MODEL');

// docs/streams.md contains the text between these marks.
// begin
@Injectable()
export class ModelService {
  constructor(@Inject(MODEL) private readonly model: LanguageModel) {}

  @Step({ retry: { maxAttempts: 5 }, timeout: '2 minutes' })
  async answer(prompt: string): Promise<string> {
    const { abortSignal } = currentStep();
    const result = streamText({ model: this.model, prompt, abortSignal, maxRetries: 0, onError: () => undefined });
    const parts = await currentStep().stream<string>('answer').writeAll(textOf(result.fullStream));
    return parts.join('');
  }
}

async function* textOf(parts: AsyncIterable<TextStreamPart<ToolSet>>): AsyncGenerator<string> {
  for await (const part of parts) {
    if (part.type === 'error') throw part.error;
    if (part.type === 'text-delta') yield part.text;
  }
}
// end

@Workflow({ name: 'ask' })
class AskWorkflow {
  constructor(private readonly models: ModelService) {}

  async run(question: string): Promise<string> {
    return this.models.answer(question);
  }
}

/** Ends of the first answer that leave it incomplete. The second answer is complete. */
const INCOMPLETE = {
  'ends early': 'end',
  'reports an error': 'error',
  'breaks off': 'destroy',
} as const;

/**
 * Speaks the protocol of OpenAI-compatible models. The first answer ends after `isRead`, because
 * another attempt replaces the parts that nobody has read by then.
 */
function serveModel(incomplete: (typeof INCOMPLETE)[keyof typeof INCOMPLETE], isRead: Promise<void>): Promise<Server> {
  let calls = 0;
  const server = createServer((request, response) => {
    request.resume().once('end', () => {
      const send = (data: object): void => void response.write(`data: ${JSON.stringify(data)}\n\n`);
      const delta = (content: string, reason: string | null = null): void =>
        send({
          id: '1',
          object: 'chat.completion.chunk',
          created: 1,
          model: 'm',
          choices: [{ index: 0, delta: { content }, finish_reason: reason }],
        });
      response.writeHead(200, { 'content-type': 'text/event-stream' });
      delta(`one of ${++calls}`);
      if (calls === 1) {
        void isRead.then(() => {
          if (incomplete === 'error') send({ error: { message: 'overloaded' } });
          if (incomplete === 'destroy') response.destroy();
          else response.end();
        });
        return;
      }
      delta(', two');
      delta('', 'stop');
      response.end('data: [DONE]\n\n');
    });
  });
  return new Promise((resolve) => server.listen(0, '127.0.0.1', () => resolve(server)));
}

let database: TestDatabase;
beforeAll(async () => {
  database = await createTestDatabase();
});
afterEach(closeApplications);
afterAll(() => database.drop());

it.each(Object.entries(INCOMPLETE))(
  'an answer of the ai package that %s is not recorded, and another attempt replaces it',
  async (_, end) => {
    let read = (): void => undefined;
    const server = await serveModel(end, new Promise((resolve) => (read = resolve)));
    try {
      const baseURL = `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1`;
      const model = createOpenAICompatible({ name: 'local', baseURL })('m');
      const { client } = await startApplication(database.url, [AskWorkflow, ModelService, { provide: MODEL, useValue: model }], {
        worker: {},
        defaults: { retry: { initialInterval: 50 } },
      });
      const handle = await client.start(AskWorkflow, 'what?');
      const events: StreamEvent<string>[] = [];
      for await (const event of handle.stream<string>('answer', { form: 'events' })) {
        events.push(event);
        read();
      }
      expect(events.map((event) => (event.type === 'chunk' ? event.value : event.type))).toEqual([
        'one of 1',
        'reset',
        'one of 2',
        ', two',
        'end',
      ]);
      expect(await handle.result()).toBe('one of 2, two');
    } finally {
      server.closeAllConnections();
      server.close();
    }
  },
);

it('the example of docs/streams.md is the tested code', () => {
  const [, code] = /\/\/ begin\n([^]*)\n\/\/ end/.exec(readFileSync('test/integration/engine/streams-ai.spec.ts', 'utf8'))!;
  expect(readFileSync('docs/streams.md', 'utf8')).toContain(code);
});
