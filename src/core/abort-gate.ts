/**
 * Ends waiting for what is under way, once and for all. A promise that lives as long as the process must not be raced against instead: it keeps something of every
 * race, with what that came to.
 */
export class AbortGate {
  private reason: Error | undefined;
  private readonly waiting = new Set<(reason: Error) => void>();

  /** What the work comes to; rejects with the reason as soon as this is given, or was given before. */
  until<T>(work: Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      if (this.reason) reject(this.reason);
      this.waiting.add(reject);
      void work.then(resolve, reject).finally(() => this.waiting.delete(reject));
    });
  }

  give(reason: Error): void {
    this.reason ??= reason;
    for (const reject of this.waiting) reject(this.reason);
  }
}
