import { createHash } from 'node:crypto';

import { Injectable } from '@nestjs/common';
import { tool } from 'ai';
import { currentStep, NonRetryableError, Step } from 'nestjs-durable';
import { z } from 'zod';

const ORDER = z.object({ order: z.string() });
const REFUND = z.object({ order: z.string(), cents: z.number().int().positive() });

/** A call that the model asks for. */
export interface ToolCall {
  readonly toolCallId: string;
  readonly toolName: string;
  readonly input: unknown;
}

/** Tools as the model sees them. They have no `execute`, because the workflow executes them. */
export const TOOLS = {
  findOrder: tool({ description: 'Finds an order by its number', inputSchema: ORDER }),
  refund: tool({ description: 'Pays money back', inputSchema: REFUND }),
};

/** Tools of the shop. Each call is a step with a key of its own. */
@Injectable()
export class ShopTools {
  /** Money is paid back only with the approval of a person. */
  needsApproval({ toolName }: ToolCall): boolean {
    return toolName === 'refund';
  }

  @Step({ key: ({ toolCallId }: ToolCall) => toolCallId, retry: { maxAttempts: 3 }, timeout: '30s' })
  async execute({ toolName, input }: ToolCall): Promise<Record<string, string | number>> {
    switch (toolName) {
      case 'findOrder':
        return { order: ORDER.parse(input).order, item: 'teapot, blue', cents: 2490, delivered: 'broken' };
      case 'refund': {
        const { order, cents } = REFUND.parse(input);
        // Stands for a payment provider, which recognizes a repeated request by this key.
        const key = currentStep().idempotencyKey;
        return { order, cents, receipt: createHash('sha256').update(key).digest('hex').slice(0, 8) };
      }
      default:
        throw new NonRetryableError(`There is no tool "${toolName}"`);
    }
  }
}
