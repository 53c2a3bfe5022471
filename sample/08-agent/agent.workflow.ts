import type { ModelMessage } from 'ai';
import { Workflow, type WorkflowContext } from 'nestjs-durable';

import { AGENT_STREAM, type AgentEvent, type Decision } from './agent-event.js';
import { ModelService } from './model.service.js';
import { ShopTools, type ToolCall } from './shop-tools.service.js';

/** Maximum number of model calls of one run. */
export const MAX_MODEL_CALLS = 6;

/**
 * Answers a question with a model that may call tools. Each model call and each tool call is a
 * step, so a crash repeats only the call that was being executed.
 */
@Workflow({ name: 'agent' })
export class AgentWorkflow {
  constructor(
    private readonly model: ModelService,
    private readonly tools: ShopTools,
  ) {}

  async run(question: string, ctx: WorkflowContext): Promise<string> {
    await ctx.stream<AgentEvent>(AGENT_STREAM).write({ type: 'question', text: question });
    const messages: ModelMessage[] = [{ role: 'user', content: question }];
    for (let modelCalls = 0; modelCalls < MAX_MODEL_CALLS; modelCalls++) {
      const reply = await this.model.ask(messages);
      if (reply.calls.length === 0) return reply.text;
      messages.push(...reply.messages);
      const results = await Promise.all(reply.calls.map((call) => this.execute(call, ctx)));
      messages.push({
        role: 'tool',
        content: reply.calls.map(({ toolCallId, toolName }, index) => ({
          type: 'tool-result',
          toolCallId,
          toolName,
          output: { type: 'json', value: results[index]! },
        })),
      });
    }
    throw new Error(`The model gave no answer in ${MAX_MODEL_CALLS} calls`);
  }

  private async execute(call: ToolCall, ctx: WorkflowContext): Promise<Record<string, string | number>> {
    const { toolCallId: id, toolName: tool, input } = call;
    const out = ctx.stream<AgentEvent>(AGENT_STREAM);
    await out.write({ type: 'call', id, tool, input });
    const output =
      this.tools.needsApproval(call) && !(await this.isApproved(id, ctx)) ? { refused: 'by a person' } : await this.tools.execute(call);
    await out.write({ type: 'result', id, output });
    return output;
  }

  /** Asks a person. While the run waits, it holds no slot, no connection and no memory. */
  private async isApproved(id: string, ctx: WorkflowContext): Promise<boolean> {
    const hook = await ctx.hook<Decision>();
    await ctx.stream<AgentEvent>(AGENT_STREAM).write({ type: 'approval', id, token: hook.token });
    const decision = await hook.wait({ timeout: '1 day' });
    return decision?.approved === true;
  }
}
