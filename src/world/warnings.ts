import { performance } from 'node:perf_hooks';

const PAUSE_MS = 10_000;

/**
 * Emits warnings of the process, each text at most once in ten seconds: while the database is away,
 * every delivery would warn.
 */
export class Warnings {
  private readonly last = new Map<string, number>();

  readonly warn = (text: string, error: unknown): void => {
    const now = performance.now();
    if (now - (this.last.get(text) ?? Number.NEGATIVE_INFINITY) < PAUSE_MS) return;
    this.last.set(text, now);
    const why = error instanceof Error ? (error.stack ?? error.message) : String(error);
    process.emitWarning(`${text}: ${why}`, { type: 'DurableWorldWarning' });
  };
}
