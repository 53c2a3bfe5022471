import type { Message, MessageValidator, Settlement } from './message.js';

/**
 * Validates messages before a wait takes them. During a validation, the message stays in the
 * mailbox and the run is not suspended.
 */
export class PayloadValidation {
  private readonly verdicts = new Map<string, Settlement | 'pending'>();
  private pending = 0;

  get isBusy(): boolean {
    return this.pending > 0;
  }

  /**
   * Returns the result for the wait that takes the message; undefined until the message was found
   * valid.
   */
  resultOf(message: Message): Settlement | undefined {
    const verdict = this.verdicts.get(message.id);
    return verdict === 'pending' ? undefined : verdict;
  }

  /**
   * Validates a message, unless its validation has begun before. Calls `done` with the refusal, or
   * with undefined for a valid message.
   */
  begin(message: Message, validate: MessageValidator, done: (refusal: Error | undefined) => void): void {
    if (this.verdicts.has(message.id)) return;
    this.verdicts.set(message.id, 'pending');
    this.pending++;
    void validate(message).then((verdict) => {
      this.pending--;
      if ('settlement' in verdict) this.verdicts.set(message.id, verdict.settlement);
      done('refusal' in verdict ? verdict.refusal : undefined);
    });
  }

  /** Forgets a message that has been taken. */
  forget(message: Message): void {
    this.verdicts.delete(message.id);
  }
}
