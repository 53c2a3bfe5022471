import type { Call } from './call.js';
import { Mailbox, type MessageHandler } from './mailbox.js';
import type { Message } from './message.js';
import { PayloadValidation } from './payload-validation.js';
import { AbortWatch } from './abort-watch.js';
import type { DurabilityGate } from './durability-gate.js';
import type { ActivityDelegate, PassHandle } from './pass-handle.js';
import type { PassPort } from './ports.js';
import type { ResultQueue } from './result-queue.js';

/** The parts of a pass that this one uses. */
interface Parts {
  readonly port: PassPort;
  readonly gate: DurabilityGate;
  readonly queue: ResultQueue;
  readonly calls: Pick<PassHandle, 'withdraw'>;
  readonly activity: ActivityDelegate;
}

/**
 * What comes to a pass from outside its own code: timers that are due, messages, AbortSignals. One thing enters per turn, and none while a result is on
 * its way to the code: so what the code withdraws when it gets a result is withdrawn before anything else could end it.
 */
export class ExternalEvents {
  private readonly mailbox = new Mailbox();
  private offers: (() => void)[] = [];
  private screening: PayloadValidation | undefined;
  private withdrawals: AbortWatch | undefined;

  constructor(private readonly parts: Parts) {}

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

  /** Whether a message is being looked at. */
  get isScreening(): boolean {
    return this.screening?.isBusy === true;
  }

  /** Whether there is a message of the channel that no open wait takes. */
  hasSpare(channel: string): boolean {
    return this.mailbox.hasSpare(channel);
  }

  /** Signals and payloads for hooks that nobody has taken. */
  get load(): { readonly count: number; readonly length: number } {
    return this.mailbox.load;
  }

  /** Channels that waits are open for and no message is here. */
  missing(): Iterable<string> {
    return this.mailbox.missing();
  }

  forgetReceived(id: string): void {
    this.mailbox.forgetReceived(id);
  }

  receive(message: Message): void {
    if (this.mailbox.put(message) && this.mailbox.hasMatch(message.channel)) this.offerMatch(message.channel);
  }

  /** Gives the call the next message of the channel that no earlier wait takes. */
  listen(channel: string, call: Call, taker: MessageHandler): void {
    this.mailbox.await(channel, call, taker);
    if (this.mailbox.hasMatch(channel)) this.offerMatch(channel);
    else this.parts.port.missing?.();
  }

  offer(enter: () => void): void {
    this.offers.push(enter);
    this.requestTurn();
  }

  private requestTurn(): void {
    const { gate, queue, activity } = this.parts;
    if (gate.isOpen) queue.request();
    activity.update();
  }

  /** Lets in what wants to, until `isEntered`. */
  admit(isEntered: () => boolean): void {
    while (!isEntered() && this.offers.length > 0 && this.parts.gate.isOpen) this.offers.shift()!();
  }

  /** The call is withdrawn when the signal is aborted. */
  watch(signal: AbortSignal, call: Call): void {
    this.withdrawals ??= new AbortWatch((withdrawn, reason) => this.parts.calls.withdraw(withdrawn, reason));
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
      const next = this.mailbox.next(channel);
      if (!next) return;
      const { message, call, taker } = next;
      const screened = this.screening?.resultOf(message);
      if (taker.screening && !screened) return this.screen(channel, message, taker.screening);
      const others = this.mailbox.match(channel);
      this.screening?.forget(message);
      taker.take(message, screened);
      // What came while this one was looked at was offered in vain.
      if (taker.screening && this.mailbox.hasMatch(channel)) this.offerMatch(channel);
      if (others === 0) return;
      // The step and not the channel: the channel of a hook is its token, and whoever reads the token can resume the run.
      this.parts.port.warn(
        `"${call.stepKey}" took a message although ${others} later waits are open for it: was the first wait abandoned in a Promise.race?`,
      );
    });
  }

  /** Has a message looked at before it is taken: it is offered again when that is done, unless it was refused. */
  private screen(channel: string, message: Message, { screen, refused }: NonNullable<MessageHandler['screening']>): void {
    this.screening ??= new PayloadValidation();
    this.screening.begin(message, screen, (refusal) => {
      if (refusal) {
        this.mailbox.drop(channel, message);
        refused(message, refusal);
      }
      if (this.mailbox.hasMatch(channel)) this.offerMatch(channel);
      else this.requestTurn();
    });
  }
}
