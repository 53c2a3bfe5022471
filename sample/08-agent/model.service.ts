import { createOpenAICompatible } from '@ai-sdk/openai-compatible';
import { Inject, Injectable } from '@nestjs/common';
import { APICallError, streamText, type LanguageModel, type ModelMessage, type TextStreamPart, type ToolSet } from 'ai';
import { currentStep, NonRetryableError, Step } from 'nestjs-durable';

import { AGENT_STREAM, type AgentEvent } from './agent-event.js';
import { TOOLS, type ToolCall } from './shop-tools.service.js';

export const MODEL_URL = Symbol('MODEL_URL');

/** Result of one model call. */
export interface Reply {
  readonly text: string;
  readonly calls: ToolCall[];
  /** The reply in the form that the next model call needs. */
  readonly messages: ModelMessage[];
}

@Injectable()
export class ModelService {
  private readonly model: LanguageModel;

  constructor(@Inject(MODEL_URL) baseURL: string) {
    this.model = createOpenAICompatible({ name: 'shop', baseURL, apiKey: 'of the sample' })('small');
  }

  /** Calls the model, and writes the parts of its answer to the stream as they arrive. */
  @Step({ retry: { maxAttempts: 5, initialInterval: '300ms' }, timeout: '2 minutes' })
  async ask(messages: ModelMessage[]): Promise<Reply> {
    const { abortSignal, idempotencyKey } = currentStep();
    const result = streamText({
      model: this.model,
      system: 'You help the customers of a shop for teapots.',
      messages,
      tools: TOOLS,
      abortSignal,
      headers: { 'idempotency-key': idempotencyKey },
      // The step retries. By default, the SDK would retry within an attempt, and print errors.
      maxRetries: 0,
      onError: () => undefined,
    });
    await currentStep().stream<AgentEvent>(AGENT_STREAM).writeAll(textOf(result.fullStream));
    const calls = await result.toolCalls;
    const invalid = calls.find((call) => call.invalid);
    if (invalid) throw new Error(`The model called "${invalid.toolName}" with arguments that the tool does not take`);
    return {
      text: await result.text,
      calls: calls.map(({ toolCallId, toolName, input }) => ({ toolCallId, toolName, input })),
      messages: (await result.response).messages,
    };
  }
}

/**
 * Yields the text of an answer. Throws when the answer is incomplete, because `result.text` would
 * then be the part that has arrived, and the step would record this part.
 */
async function* textOf(parts: AsyncIterable<TextStreamPart<ToolSet>>): AsyncGenerator<string> {
  for await (const part of parts) {
    if (part.type === 'text-delta') yield part.text;
    else if (part.type === 'error') throw errorOf(part.error);
    else if (part.type === 'abort') throw new Error('The model call was aborted');
  }
}

/** Marks an error as final when another attempt would fail too, as with a wrong key. */
function errorOf(error: unknown): unknown {
  if (!APICallError.isInstance(error) || error.isRetryable) return error;
  return new NonRetryableError(`The model refused the call: ${error.message}`, { cause: error });
}
