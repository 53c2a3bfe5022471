import { performance } from 'node:perf_hooks';

import { clearInterval, setInterval } from '../core/timers.js';
import { describeError } from './connection-checks.js';

/** The time between two lines of an outage that lasts. */
const EVERY_MS = 15_000;

/**
 * Logs that the database is away: one line when the first work fails for it, one now and then while
 * it lasts, and one when nothing has failed for a while. Without it every part of the worker would
 * repeat its own line.
 */
export class OutageLog {
  private timer: NodeJS.Timeout | undefined;
  private began = 0;
  private last = 0;
  private failures = 0;
  private latest: unknown;

  constructor(
    private readonly write: (level: 'warn' | 'log', line: string) => void,
    private readonly everyMs = EVERY_MS,
  ) {}

  /** @param work what failed */
  failed(work: string, error: unknown): void {
    this.last = performance.now();
    this.failures++;
    this.latest = error;
    if (this.timer) return;
    this.began = this.last;
    this.failures = 0;
    this.timer = setInterval(() => this.look(), this.everyMs).unref();
    this.write('warn', `the database cannot be reached; trying again: ${describeError(error)} (${work})`);
  }

  close(): void {
    clearInterval(this.timer);
    this.timer = undefined;
  }

  private look(): void {
    const seconds = Math.round((this.last - this.began) / 1_000);
    if (this.failures === 0) {
      this.close();
      return this.write('log', `the database answers again; it was away for about ${seconds} s`);
    }
    const times = this.failures === 1 ? '1 try' : `${this.failures} tries`;
    this.failures = 0;
    this.write(
      'warn',
      `the database has been unreachable for ${seconds} s (${times} since the last line); trying again: ${describeError(this.latest)}`,
    );
  }
}
