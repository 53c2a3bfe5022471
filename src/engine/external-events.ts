import type { Call } from './call.js';
import { Mailbox, type MessageHandler } from './mailbox.js';
import type { Message } from './message.js';
import { PayloadValidation } from './payload-validation.js';
import { AbortWatch } from './abort-watch.js';
import type { DurabilityGate } from './durability-gate.js';
import type { ActivityDelegate, PassHandle } from './pass-handle.js';
import type { PassPort } from './ports.js';
import type { ResultQueue } from './result-queue.js';

/** Other objects of the same pass (pass-parts.ts) that this class uses. */
interface Parts {
  readonly port: PassPort;
  readonly gate: DurabilityGate;
  readonly queue: ResultQueue;
  readonly calls: Pick<PassHandle, 'withdraw'>;
  readonly activity: ActivityDelegate;
}

/**
 * Events that reach one execution of the workflow function (a pass) from outside: due timers,
 * messages and aborted AbortSignals.
 *
 * One event enters per turn, and no event enters while a result waits for delivery to the code. So
 * code that gets a result can withdraw its other calls before another event settles these calls.
 */
export class ExternalEvents {
  private readonly mailbox = new Mailbox();
  private offers: (() => void)[] = [];
  private validation: PayloadValidation | undefined;
  private abortWatch: AbortWatch | undefined;

  constructor(private readonly parts: Parts) {}

  /** Number of open waits for messages. */
  get waits(): number {
    return this.mailbox.size;
  }

  get hasMessages(): boolean {
    return this.mailbox.hasMessages;
  }

  /** True when an event waits to enter the pass. */
  get isPending(): boolean {
    return this.offers.length > 0;
  }

  /** True while a message is being validated. */
  get isScreening(): boolean {
    return this.validation?.isBusy === true;
  }

  /** True when the channel has more messages than open waits. */
  hasSpare(channel: string): boolean {
    return this.mailbox.hasSpare(channel);
  }

  /**
   * Number and total length, in characters, of signals and hook payloads that no wait has taken.
   */
  get load(): { readonly count: number; readonly length: number } {
    return this.mailbox.load;
  }

  /** Channels of open waits for which no message has arrived. */
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
  listen(channel: string, call: Call, handler: MessageHandler): void {
    this.mailbox.await(channel, call, handler);
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

  /**
   * Lets queued events enter until one of them has produced a result, which `isEntered` reports.
   */
  admit(isEntered: () => boolean): void {
    while (!isEntered() && this.offers.length > 0 && this.parts.gate.isOpen) this.offers.shift()!();
  }

  /** Withdraws the call when the signal is aborted. */
  watch(signal: AbortSignal, call: Call): void {
    this.abortWatch ??= new AbortWatch((withdrawn, reason) => this.parts.calls.withdraw(withdrawn, reason));
    this.abortWatch.watch(signal, call);
  }

  /** Forgets the wait of a call that was settled or withdrawn. */
  forget(call: Call): void {
    if (call.channel !== undefined) this.mailbox.forget(call.channel, call);
  }

  clearWaits(): void {
    this.mailbox.clearWaits();
  }

  /**
   * Queues an event that gives the channel's oldest message to the oldest wait for the channel.
   */
  private offerMatch(channel: string): void {
    this.offer(() => {
      const next = this.mailbox.next(channel);
      if (!next) return;
      const { message, call, handler } = next;
      const validated = this.validation?.resultOf(message);
      if (handler.validation && !validated) return this.validate(channel, message, handler.validation);
      const others = this.mailbox.match(channel);
      this.validation?.forget(message);
      handler.take(message, validated);
      // Offer the channel's next message again. If that message arrived during the validation of
      // this one, nothing took it then.
      if (handler.validation && this.mailbox.hasMatch(channel)) this.offerMatch(channel);
      if (others === 0) return;
      // Names the step, not the channel. A hook's channel contains its token, and anyone who reads
      // the token in a log could resume the run.
      this.parts.port.warn(
        'abandoned-wait',
        `"${call.stepKey}" took a message although ${others} later waits are open for it: was the first wait abandoned in a Promise.race?`,
      );
    });
  }

  /**
   * Validates a message before a wait takes it. A valid message is offered again after the
   * validation.
   */
  private validate(channel: string, message: Message, { validate, refused }: NonNullable<MessageHandler['validation']>): void {
    this.validation ??= new PayloadValidation();
    this.validation.begin(message, validate, (refusal) => {
      if (refusal) {
        this.mailbox.drop(channel, message);
        refused(message, refusal);
      }
      if (this.mailbox.hasMatch(channel)) this.offerMatch(channel);
      else this.requestTurn();
    });
  }
}
