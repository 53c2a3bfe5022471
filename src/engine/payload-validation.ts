import type { Message, Screen, Settlement } from './message.js';

/** Checks messages before they are taken. A check may take its time; meanwhile the message stays where it is, and the run is not suspended. */
export class PayloadValidation {
  private readonly verdicts = new Map<string, Settlement | 'pending'>();
  private pending = 0;

  get isBusy(): boolean {
    return this.pending > 0;
  }

  /** What the message's wait gets, once that is known. */
  resultOf(message: Message): Settlement | undefined {
    const verdict = this.verdicts.get(message.id);
    return verdict === 'pending' ? undefined : verdict;
  }

  /** Checks a message, once. `done` hears of the refusal, if it is one. */
  begin(message: Message, screen: Screen, done: (refusal: Error | undefined) => void): void {
    if (this.verdicts.has(message.id)) return;
    this.verdicts.set(message.id, 'pending');
    this.pending++;
    void screen(message).then((verdict) => {
      this.pending--;
      if ('settlement' in verdict) this.verdicts.set(message.id, verdict.settlement);
      done('refusal' in verdict ? verdict.refusal : undefined);
    });
  }

  /** The message has been taken. */
  forget(message: Message): void {
    this.verdicts.delete(message.id);
  }
}
