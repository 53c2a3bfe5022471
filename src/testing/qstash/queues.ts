import { notFound } from './api-error.js';
import type { Message } from './message.js';

interface Queue {
  readonly name: string;
  readonly createdAt: number;
  updatedAt: number;
  parallelism: number;
  paused: boolean;
  /**
   * Messages that occupy a place: at least one attempt was made, and they have not ended. A message
   * keeps its place while it waits for a retry.
   */
  readonly holders: Set<Message>;
}

export interface QueueSettings {
  readonly parallelism?: number | undefined;
  readonly paused?: boolean | undefined;
}

/**
 * First-in, first-out queues. A queue has a limited number of active messages. While a message
 * waits for a retry, it keeps its place and so delays the messages behind it.
 */
export class Queues {
  private readonly byName = new Map<string, Queue>();

  upsert(name: string, { parallelism, paused }: QueueSettings, now: number): void {
    const queue = this.byName.get(name) ?? { name, createdAt: now, updatedAt: now, parallelism: 1, paused: false, holders: new Set() };
    queue.parallelism = parallelism ?? queue.parallelism;
    queue.paused = paused ?? queue.paused;
    queue.updatedAt = now;
    this.byName.set(name, queue);
  }

  /** Creates the queue with this name if it does not exist. */
  ensure(name: string, now: number): void {
    if (!this.byName.has(name)) this.upsert(name, {}, now);
  }

  admits(message: Message): boolean {
    const queue = this.of(message);
    return queue === undefined || (!queue.paused && (queue.holders.has(message) || queue.holders.size < queue.parallelism));
  }

  holds(message: Message): boolean {
    return this.of(message)?.holders.has(message) ?? false;
  }

  hold(message: Message): void {
    this.of(message)?.holders.add(message);
  }

  /** Frees the place that an ended message had in its queue. */
  release(message: Message): void {
    this.of(message)?.holders.delete(message);
  }

  delete(name: string): void {
    if (!this.byName.delete(name)) throw notFound(`queue ${name}`);
  }

  clear(): void {
    this.byName.clear();
  }

  /**
   * Returns a queue as the API shows it.
   *
   * @throws ApiError when there is no such queue
   */
  view(name: string, messages: Iterable<Message>): object {
    const queue = this.byName.get(name);
    if (!queue) throw notFound(`queue ${name}`);
    return viewOf(queue, messages);
  }

  list(messages: Iterable<Message>): object[] {
    const all = [...messages];
    return [...this.byName.values()].map((queue) => viewOf(queue, all));
  }

  private of(message: Message): Queue | undefined {
    return message.queue === undefined ? undefined : this.byName.get(message.queue);
  }
}

function viewOf({ name, createdAt, updatedAt, parallelism, paused }: Queue, messages: Iterable<Message>): object {
  const lag = [...messages].filter((message) => message.queue === name).length;
  return { name, createdAt, updatedAt, parallelism, lag, paused };
}
