/** Name of the stream that the page shows. */
export const AGENT_STREAM = 'agent';

/** A chunk of the stream: a part of the model's answer, or a fact about a tool call. */
export type AgentEvent =
  | string
  | { readonly type: 'question'; readonly text: string }
  | { readonly type: 'call'; readonly id: string; readonly tool: string; readonly input: unknown }
  /** The call waits for a person. The token answers for that person, so show it to nobody else. */
  | { readonly type: 'approval'; readonly id: string; readonly token: string }
  | { readonly type: 'result'; readonly id: string; readonly output: unknown };

/** Answer of a person who was asked to approve a tool call. */
export interface Decision {
  readonly approved: boolean;
}
