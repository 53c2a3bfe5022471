import { randomUUID } from 'node:crypto';
import { notFound } from './api-error.js';
import { fieldsOf, matches, numberOf, pageOf } from './filters.js';
import { bodyFields, type Message, messageView } from './message.js';
import type { Answer } from './send.js';

export interface DeadLetter {
  readonly dlqId: string;
  readonly message: Message;
  /** Answer to the last attempt to deliver the message. */
  readonly answer: Answer;
  readonly time: number;
}

/** Dead letters: messages that could not be delivered. */
export class DeadLetters {
  private readonly byId = new Map<string, DeadLetter>();

  add(message: Message, answer: Answer, time: number): DeadLetter {
    const deadLetter = { dlqId: `${time}-${randomUUID()}`, message, answer, time };
    this.byId.set(deadLetter.dlqId, deadLetter);
    return deadLetter;
  }

  /**
   * Returns a dead letter as the API shows it.
   *
   * @throws ApiError when there is no dead letter with this id
   */
  view(dlqId: string): object {
    return viewOf(this.get(dlqId));
  }

  /**
   * Returns a page of the dead letters that match the query.
   *
   * @throws ApiError when the query is invalid
   */
  list(query: URLSearchParams): object {
    const { items, cursor } = pageOf(this.matching(query), query);
    return { cursor, messages: items.map(viewOf) };
  }

  /**
   * Removes and returns a dead letter.
   *
   * @throws ApiError when there is no dead letter with this id
   */
  remove(dlqId: string): DeadLetter {
    const deadLetter = this.get(dlqId);
    this.byId.delete(dlqId);
    return deadLetter;
  }

  /**
   * Removes and returns the dead letters that match the query, at most as many as its parameter
   * `count` says. `cursor` is defined when more dead letters match.
   *
   * @throws ApiError when the query is invalid
   */
  removeMatching(query: URLSearchParams): { readonly found: readonly DeadLetter[]; readonly cursor: string | undefined } {
    const matching = this.matching(query);
    const found = matching.slice(0, numberOf(query, 'count', 100));
    for (const { dlqId } of found) this.byId.delete(dlqId);
    return { found, cursor: matching[found.length]?.dlqId };
  }

  clear(): void {
    this.byId.clear();
  }

  private matching(query: URLSearchParams): DeadLetter[] {
    return [...this.byId.values()].filter(({ dlqId, message, answer, time }) =>
      matches(query, { ...fieldsOf(message), dlqId, responseStatus: answer.status?.toString() }, time),
    );
  }

  private get(dlqId: string): DeadLetter {
    const deadLetter = this.byId.get(dlqId);
    if (!deadLetter) throw notFound(`dead letter ${dlqId}`);
    return deadLetter;
  }
}

function viewOf({ dlqId, message, answer }: DeadLetter): object {
  const { status, headers, body, error } = answer;
  const shown = error === undefined ? body : Buffer.from(error);
  return { ...messageView(message), dlqId, responseStatus: status, responseHeader: headers, ...bodyFields(shown, 'responseBody') };
}
