import { performance } from 'node:perf_hooks';

import { clearInterval, setInterval } from '../core/timers.js';
import { describeError } from './connection-checks.js';
import type { HostLine } from './host-logger.js';

/** Milliseconds between two log lines during an outage. */
const EVERY_MS = 15_000;

const CODE = 'database-unreachable';

/** Maximum number of causes that the log shows without a delay during one outage. */
const MAX_CAUSES = 5;

/**
 * Logs outages of the database: a line at the first failure, a line at intervals during the outage,
 * and a line when failures have stopped. A failure with a new cause, such as a missing password, is
 * logged at once. Without this class, each part of the worker would log its own failures again and
 * again.
 */
export class OutageLog {
  private timer: NodeJS.Timeout | undefined;
  private began = 0;
  private last = 0;
  private failures = 0;
  private latest: unknown;
  private hasEnded = false;
  /** Codes of the causes that this outage has logged. */
  private readonly causes = new Set<string>();

  constructor(
    private readonly write: (...line: HostLine) => void,
    private readonly everyMs = EVERY_MS,
  ) {}

  /**
   * Records a failure that an outage has caused.
   *
   * @param work description of the work that failed
   */
  failed(work: string, error: unknown): void {
    if (this.hasEnded) return;
    this.last = performance.now();
    this.failures++;
    this.latest = error;
    const isNew = this.isNewCause(error);
    if (this.timer) {
      if (isNew) this.write('warn', `database: unreachable for another reason: ${describeError(error)} (${work})`, { code: CODE });
      return;
    }
    this.began = this.last;
    this.failures = 0;
    this.timer = setInterval(() => this.report(), this.everyMs).unref();
    this.write('warn', `database: unreachable; trying again: ${describeError(error)} (${work})`, { code: CODE });
  }

  /**
   * Logs no further failure. Called before the module closes its connections: work that is still
   * under way then fails although the database can be reached.
   */
  end(): void {
    this.close();
    this.hasEnded = true;
  }

  close(): void {
    clearInterval(this.timer);
    this.timer = undefined;
    this.causes.clear();
  }

  /**
   * True for the first error with this code in an outage. Network errors do not count: one outage
   * causes several different ones, so a different network error says nothing new.
   */
  private isNewCause(error: unknown): boolean {
    const code = error instanceof Error ? (error as { code?: unknown }).code : undefined;
    if (typeof code !== 'string' || /^E[A-Z_]+$/.test(code) || this.causes.has(code)) return false;
    if (this.causes.size >= MAX_CAUSES) return false;
    this.causes.add(code);
    return true;
  }

  private report(): void {
    const seconds = Math.round((this.last - this.began) / 1_000);
    if (this.failures === 0) {
      this.close();
      return this.write('log', `database: answers again after about ${seconds} s`);
    }
    const count = this.failures;
    const tries = count === 1 ? '1 try' : `${count} tries`;
    this.failures = 0;
    this.write(
      'warn',
      `database: unreachable for ${seconds} s (${tries} since the last line); trying again: ${describeError(this.latest)}`,
      {
        code: CODE,
        count,
      },
    );
  }
}
