import type { Call } from './call.js';

/**
 * Withdraws durable calls whose AbortSignal is aborted. Adds a single listener to each signal,
 * however many calls watch it.
 */
export class AbortWatch {
  private readonly watched = new Map<AbortSignal, Set<Call>>();

  constructor(private readonly withdraw: (call: Call, reason: unknown) => void) {}

  watch(signal: AbortSignal, call: Call): void {
    let calls = this.watched.get(signal);
    if (!calls) {
      calls = new Set();
      this.watched.set(signal, calls);
      signal.addEventListener('abort', () => this.aborted(signal), { once: true });
    }
    calls.add(call);
  }

  private aborted(signal: AbortSignal): void {
    const calls = this.watched.get(signal) ?? [];
    this.watched.delete(signal);
    for (const call of calls) this.withdraw(call, signal.reason);
  }
}
