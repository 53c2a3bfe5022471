import type { Call } from './call.js';
import { Mailbox, type Message, type Taker } from './mailbox.js';
import { Withdrawals } from './withdrawals.js';

/** What lets things in. */
export interface InboundOwner {
  /** Whether anything may enter: the pass is live and not held. */
  isOpen(): boolean;
  /** Something wants to enter: give it a turn. */
  requested(): void;
  withdraw(call: Call, reason: unknown): void;
  warn(message: string): void;
}

/**
 * What comes to a pass from outside its own code: timers that are due, messages, AbortSignals. One thing enters per turn, and none while a result is on
 * its way to the code: so what the code withdraws when it gets a result is withdrawn before anything else could end it.
 */
export class Inbound {
  private readonly mailbox = new Mailbox();
  private offers: (() => void)[] = [];
  private withdrawals: Withdrawals | undefined;

  constructor(private readonly owner: InboundOwner) {}

  /** How many waits are for messages. */
  get waits(): number {
    return this.mailbox.size;
  }

  get hasMessages(): boolean {
    return this.mailbox.hasMessages;
  }

  /** Whether something wants to enter. */
  get isPending(): boolean {
    return this.offers.length > 0;
  }

  /** Whether there is a message of the channel that no open wait takes. */
  hasSpare(channel: string): boolean {
    return this.mailbox.hasSpare(channel);
  }

  receive(message: Message): void {
    if (this.mailbox.put(message) && this.mailbox.hasMatch(message.channel)) this.offerMatch(message.channel);
  }

  /** Gives the call the next message of the channel that no earlier wait takes. */
  listen(channel: string, call: Call, take: Taker): void {
    this.mailbox.await(channel, call, take);
    if (this.mailbox.hasMatch(channel)) this.offerMatch(channel);
  }

  offer(enter: () => void): void {
    this.offers.push(enter);
    this.owner.requested();
  }

  /** Lets in what wants to, until `isEntered`. */
  admit(isEntered: () => boolean): void {
    while (!isEntered() && this.offers.length > 0 && this.owner.isOpen()) this.offers.shift()!();
  }

  /** The call is withdrawn when the signal is aborted. */
  watch(signal: AbortSignal, call: Call): void {
    this.withdrawals ??= new Withdrawals((withdrawn, reason) => this.owner.withdraw(withdrawn, reason));
    this.withdrawals.watch(signal, call);
  }

  /** The call has its result, or is given up. */
  forget(call: Call): void {
    if (call.channel !== undefined) this.mailbox.forget(call.channel, call);
  }

  clearWaits(): void {
    this.mailbox.clearWaits();
  }

  /** A message and a wait for it are both here: they meet when it is their turn. */
  private offerMatch(channel: string): void {
    this.offer(() => {
      const others = this.mailbox.match(channel);
      if (!others) return;
      this.owner.warn(`a wait for ${channel} took a message that ${others} later waits are for: was it abandoned in a Promise.race?`);
    });
  }
}
