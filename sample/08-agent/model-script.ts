/** A message of a chat completion, in the form of the protocol. */
export interface ChatMessage {
  readonly role: 'system' | 'user' | 'assistant' | 'tool';
  readonly content?: unknown;
}

/** Reply of the model: text, and possibly a tool call. */
export interface ScriptedReply {
  readonly text: string;
  readonly call?: { readonly name: string; readonly input: Readonly<Record<string, unknown>> };
}

interface ToolResult {
  readonly order?: string;
  readonly cents?: number;
  readonly receipt?: string;
  readonly refused?: string;
}

/**
 * Chooses the reply to a conversation by its messages alone, so that a repeated call gets the same
 * reply. A question without the number of an order makes the model search forever.
 */
export function replyTo(messages: readonly ChatMessage[]): ScriptedReply {
  const results = messages.filter(({ role }) => role === 'tool').map(({ content }) => JSON.parse(String(content)) as ToolResult);
  const question = String(messages.findLast(({ role }) => role === 'user')?.content);
  const order = /\d{3,}/.exec(question)?.[0];
  const last = results.at(-1);
  if (order === undefined) {
    const next = String(100 + results.length);
    return { text: 'That was not the order either. ', call: { name: 'findOrder', input: { order: next } } };
  }
  if (!last) return { text: `I will look at order ${order} first. `, call: { name: 'findOrder', input: { order } } };
  if (last.refused !== undefined)
    return { text: `I am sorry: a colleague has decided against the refund for order ${order}. You can send the teapot back instead.` };
  if (last.receipt === undefined)
    return {
      text: 'The carrier reports that it arrived broken, so a refund is due. ',
      call: { name: 'refund', input: { order, cents: last.cents } },
    };
  const euros = ((last.cents ?? 0) / 100).toFixed(2);
  return {
    text:
      `A colleague has approved the refund, and ${euros} euros are on their way back to you. ` +
      'The money takes two or three working days, depending on your bank. ' +
      'You need not send the broken teapot back: please put it into the glass recycling. ' +
      `The number of your receipt is ${last.receipt}. Is there anything else that I can do for you?`,
  };
}
