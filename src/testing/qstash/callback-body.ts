import type { Message } from './message.js';
import type { Answer } from './send.js';

interface CallbackInput {
  readonly message: Message;
  readonly retried: number;
  readonly answer: Answer;
  readonly dlqId: string | undefined;
}

/**
 * Returns the body of the request that QStash sends to a callback address. The callback's body
 * contains the body of the message and the body of the answer, both in base64.
 */
export function callbackBody({ message, retried, answer, dlqId }: CallbackInput): Buffer {
  const { messageId, url, method, headers, body, retries, dueAt, createdAt, scheduleId, callerIp } = message;
  const content = {
    status: answer.status ?? 0,
    header: answer.headers,
    body: (answer.error === undefined ? answer.body : Buffer.from(answer.error)).toString('base64'),
    retried,
    maxRetries: retries,
    dlqId,
    sourceMessageId: messageId,
    url,
    method,
    sourceHeader: Object.fromEntries(Object.entries(headers).map(([name, value]) => [name, [value]])),
    sourceBody: body.toString('base64'),
    notBefore: dueAt,
    createdAt,
    scheduleId,
    callerIP: callerIp,
  };
  return Buffer.from(JSON.stringify(content));
}
