import type { Call } from './call.js';

/** A message from the run's inbox that a wait may take. */
export interface Message {
  readonly id: string;
  /** What it is for: signals by name, hooks by token, child runs by step key. */
  readonly channel: string;
  /** JSON text. */
  readonly payload: string;
  /** Whether the payload is a result or an error: a child run may have failed. */
  readonly outcome: 'value' | 'error';
}

/** What is done with the message that a wait is given. */
export type Taker = (message: Message) => void;

interface Waiting {
  readonly call: Call;
  readonly take: Taker;
}

/**
 * Messages that have come for a pass and nobody has taken, and waits that nobody has sent to; both in order, by channel. Of several waits for one
 * channel the one that was called first takes first.
 */
export class Mailbox {
  /** Ids of everything that was heard: the inbox is read again before what was taken is gone from it. */
  private heard: Set<string> | undefined;
  private messages: Map<string, Message[]> | undefined;
  private waits: Map<string, Waiting[]> | undefined;

  /** How many waits are open. */
  get size(): number {
    let count = 0;
    for (const waits of this.waits?.values() ?? []) count += waits.length;
    return count;
  }

  get hasMessages(): boolean {
    return (this.messages?.size ?? 0) > 0;
  }

  /** @returns whether the message is new */
  put(message: Message): boolean {
    this.heard ??= new Set();
    if (this.heard.has(message.id)) return false;
    this.heard.add(message.id);
    this.messages ??= new Map();
    append(this.messages, message.channel, message);
    return true;
  }

  await(channel: string, call: Call, take: Taker): void {
    this.waits ??= new Map();
    append(this.waits, channel, { call, take });
  }

  /** Whether there is a message of the channel that no open wait takes. */
  hasSpare(channel: string): boolean {
    return (this.messages?.get(channel)?.length ?? 0) > (this.waits?.get(channel)?.length ?? 0);
  }

  /** Whether some wait can take a message now. */
  hasMatch(channel: string): boolean {
    return this.messages?.has(channel) === true && this.waits?.has(channel) === true;
  }

  /**
   * Gives the oldest message of a channel to the oldest wait for it.
   *
   * @returns how many other waits for the channel stay open; undefined when nothing matched
   */
  match(channel: string): number | undefined {
    const waits = this.waits?.get(channel);
    const messages = this.messages?.get(channel);
    if (!waits || !messages) return undefined;
    const { take } = waits.shift()!;
    const message = messages.shift()!;
    if (waits.length === 0) this.waits!.delete(channel);
    if (messages.length === 0) this.messages!.delete(channel);
    take(message);
    return waits.length;
  }

  /** Forgets the wait of a call that has its result, or was withdrawn. */
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
