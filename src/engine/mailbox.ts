import { isLimitedChannel } from '../core/message-kinds.js';
import type { Call } from './call.js';
import type { Message, MessageValidator, Settlement } from './message.js';

/** Callbacks with which a wait receives a message. */
export interface MessageHandler {
  readonly take: (message: Message, validated: Settlement | undefined) => void;
  /**
   * Validation of each message before the wait takes it; absent when the wait takes every message.
   */
  readonly validation?: { readonly validate: MessageValidator; readonly refused: (message: Message, refusal: Error) => void };
}

interface Waiting {
  readonly call: Call;
  readonly handler: MessageHandler;
}

/**
 * Messages that no wait has taken, and waits that have no message yet. Both are kept by channel and
 * in order: the oldest wait for a channel gets the oldest message.
 */
export class Mailbox {
  /**
   * Ids of received messages, with which repeated messages are ignored. The inbox may be read again
   * before a taken message is deleted from it.
   */
  private receivedIds: Set<string> | undefined;
  private messages: Map<string, Message[]> | undefined;
  private waits: Map<string, Waiting[]> | undefined;

  /** Number of open waits. */
  get size(): number {
    let count = 0;
    for (const waits of this.waits?.values() ?? []) count += waits.length;
    return count;
  }

  get hasMessages(): boolean {
    return (this.messages?.size ?? 0) > 0;
  }

  /**
   * Number and total length, in characters, of signals and hook payloads that no wait has taken.
   */
  readonly load = { count: 0, length: 0 };

  /** Channels of open waits for which no message has arrived. */
  *missing(): Iterable<string> {
    for (const channel of this.waits?.keys() ?? []) if (!this.messages?.has(channel)) yield channel;
  }

  /** Forgets the id of a message that was deleted from the inbox and cannot be read again. */
  forgetReceived(id: string): void {
    this.receivedIds?.delete(id);
  }

  /** Adds a message, unless it was received before. @returns true when the message is new */
  put(message: Message): boolean {
    this.receivedIds ??= new Set();
    if (this.receivedIds.has(message.id)) return false;
    this.receivedIds.add(message.id);
    this.messages ??= new Map();
    append(this.messages, message.channel, message);
    this.weigh(message, 1);
    return true;
  }

  await(channel: string, call: Call, handler: MessageHandler): void {
    this.waits ??= new Map();
    append(this.waits, channel, { call, handler });
  }

  /** True when the channel has more messages than open waits. */
  hasSpare(channel: string): boolean {
    return (this.messages?.get(channel)?.length ?? 0) > (this.waits?.get(channel)?.length ?? 0);
  }

  /** True when a wait can take a message of the channel now. */
  hasMatch(channel: string): boolean {
    return this.messages?.has(channel) === true && this.waits?.has(channel) === true;
  }

  /** Returns a channel's oldest message and its oldest wait; undefined unless both exist. */
  next(channel: string): { readonly message: Message; readonly call: Call; readonly handler: MessageHandler } | undefined {
    const wait = this.waits?.get(channel)?.[0];
    const message = this.messages?.get(channel)?.[0];
    return wait && message && { message, call: wait.call, handler: wait.handler };
  }

  /**
   * Removes the message and the wait that `next` returns.
   *
   * @returns the number of other open waits for the channel
   */
  match(channel: string): number {
    const waits = this.waits!.get(channel)!;
    waits.shift();
    if (waits.length === 0) this.waits!.delete(channel);
    this.drop(channel, this.messages!.get(channel)![0]!);
    return waits.length;
  }

  /** Removes a message that was taken or refused. */
  drop(channel: string, message: Message): void {
    const messages = this.messages?.get(channel);
    const index = messages?.indexOf(message) ?? -1;
    if (index < 0) return;
    messages!.splice(index, 1);
    this.weigh(message, -1);
    if (messages!.length === 0) this.messages!.delete(channel);
  }

  private weigh({ channel, payload }: Message, by: 1 | -1): void {
    if (!isLimitedChannel(channel)) return;
    this.load.count += by;
    this.load.length += by * payload.length;
  }

  /** Forgets the wait of a call that was settled or withdrawn. */
  forget(channel: string, call: Call): void {
    const waits = this.waits?.get(channel);
    const index = waits?.findIndex((waiting) => waiting.call === call) ?? -1;
    if (index < 0) return;
    waits!.splice(index, 1);
    if (waits!.length === 0) this.waits!.delete(channel);
  }

  clearWaits(): void {
    this.waits = undefined;
  }
}

function append<T>(map: Map<string, T[]>, key: string, item: T): void {
  const items = map.get(key);
  if (items) items.push(item);
  else map.set(key, [item]);
}
