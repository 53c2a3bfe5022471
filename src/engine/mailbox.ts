import type { Call } from './call.js';
import type { Message, Screen, Settlement } from './message.js';

/** What becomes of the message that a wait is given. */
export interface MessageHandler {
  readonly take: (message: Message, screened: Settlement | undefined) => void;
  /** Where not every message is taken: looks at it first. */
  readonly screening?: { readonly screen: Screen; readonly refused: (message: Message, refusal: Error) => void };
}

interface Waiting {
  readonly call: Call;
  readonly taker: MessageHandler;
}

/**
 * Messages that have come for a pass and nobody has taken, and waits that nobody has sent to; both in order, by channel. Of several waits for one
 * channel the one that was called first takes first.
 */
export class Mailbox {
  /** Ids of everything that was heard: the inbox is read again before what was taken is gone from it. */
  private receivedIds: Set<string> | undefined;
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

  /** How many signals and payloads for hooks nobody has taken, and how long they are together, in characters. */
  readonly load = { count: 0, length: 0 };

  /** Channels that waits are open for and no message is here. */
  *missing(): Iterable<string> {
    for (const channel of this.waits?.keys() ?? []) if (!this.messages?.has(channel)) yield channel;
  }

  /** A message is gone from the inbox: it is not read again. */
  forgetReceived(id: string): void {
    this.receivedIds?.delete(id);
  }

  /** @returns whether the message is new */
  put(message: Message): boolean {
    this.receivedIds ??= new Set();
    if (this.receivedIds.has(message.id)) return false;
    this.receivedIds.add(message.id);
    this.messages ??= new Map();
    append(this.messages, message.channel, message);
    this.weigh(message, 1);
    return true;
  }

  await(channel: string, call: Call, taker: MessageHandler): void {
    this.waits ??= new Map();
    append(this.waits, channel, { call, taker });
  }

  /** Whether there is a message of the channel that no open wait takes. */
  hasSpare(channel: string): boolean {
    return (this.messages?.get(channel)?.length ?? 0) > (this.waits?.get(channel)?.length ?? 0);
  }

  /** Whether some wait can take a message now. */
  hasMatch(channel: string): boolean {
    return this.messages?.has(channel) === true && this.waits?.has(channel) === true;
  }

  /** The oldest message of a channel and the oldest wait for it; undefined unless there are both. */
  next(channel: string): { readonly message: Message; readonly call: Call; readonly taker: MessageHandler } | undefined {
    const wait = this.waits?.get(channel)?.[0];
    const message = this.messages?.get(channel)?.[0];
    return wait && message && { message, call: wait.call, taker: wait.taker };
  }

  /**
   * Removes the two that come next: they have met.
   *
   * @returns how many other waits for the channel stay open
   */
  match(channel: string): number {
    const waits = this.waits!.get(channel)!;
    waits.shift();
    if (waits.length === 0) this.waits!.delete(channel);
    this.drop(channel, this.messages!.get(channel)![0]!);
    return waits.length;
  }

  /** Removes a message: it has been taken, or nobody is to take it. */
  drop(channel: string, message: Message): void {
    const messages = this.messages?.get(channel);
    const index = messages?.indexOf(message) ?? -1;
    if (index < 0) return;
    messages!.splice(index, 1);
    this.weigh(message, -1);
    if (messages!.length === 0) this.messages!.delete(channel);
  }

  private weigh({ channel, payload }: Message, by: 1 | -1): void {
    if (!channel.startsWith('signal:') && !channel.startsWith('hook:')) return;
    this.load.count += by;
    this.load.length += by * payload.length;
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
