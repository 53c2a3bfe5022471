import { performance } from 'node:perf_hooks';
import { clearTimeout, setTimeout } from '../core/timers.js';

import type { LogFields } from '../core/log-fields.js';
import { describeError } from './connection-checks.js';

/** Most kinds that are distinguished at a time. All further warnings are one kind. */
const MAX_KINDS = 500;

/** Milliseconds for which further warnings of a kind are left out. */
const WINDOW_MS = { 'every 5 s': 5_000, 'once a minute': 60_000 };

interface Kind {
  leftOut: number;
  readonly timer: NodeJS.Timeout;
}

/**
 * Returns what warnings of one kind have in common. A warning of a run keeps its workflow and the
 * names of its steps, because another step is another mistake. The run's id, the keys of steps and
 * counts grow with the data, so they do not count.
 */
function kindOf(message: string): string {
  if (!message.startsWith('run "')) return message;
  return message
    .replace(/"[^"]*"/, '""')
    .replaceAll(/"([^":#]*)[^"]*"/g, '"$1"')
    .replaceAll(/\d+/g, '0');
}

/**
 * Writes the first warning of a kind, and later the number of warnings that were left out. Senders
 * of requests can cause warnings, and the log must not grow with the requests. A kind is forgotten
 * once its time is over.
 */
export class WarningLimiter {
  private readonly kinds = new Map<string, Kind>();
  private closed = false;

  constructor(private readonly write: (line: string, fields: LogFields | undefined) => void) {}

  /**
   * @param message what the warning has in common with others like it, apart from the run that it
   *   begins with, keys and counts
   * @param error what caused it, if anything
   */
  warn(message: string, error: unknown, how: keyof typeof WINDOW_MS, fields?: LogFields): void {
    this.limit(kindOf(message), error === undefined ? message : `${message}: ${describeError(error)}`, WINDOW_MS[how], fields);
  }

  /** @param windowMs for how long others of the kind are left out after one, in milliseconds */
  limit(kind: string, line: string, windowMs: number, fields?: LogFields): void {
    if (this.closed) return;
    const key = this.kinds.has(kind) || this.kinds.size < MAX_KINDS ? kind : '';
    const known = this.kinds.get(key);
    if (known) {
      known.leftOut++;
      return;
    }
    const began = performance.now();
    const timer = setTimeout(() => this.ended(key, line, began, fields), windowMs).unref();
    this.kinds.set(key, { leftOut: 0, timer });
    this.write(line, fields);
  }

  /**
   * Forgets all kinds, and writes nothing more: failures from now on follow from closing the
   * module.
   */
  close(): void {
    this.closed = true;
    for (const { timer } of this.kinds.values()) clearTimeout(timer);
    this.kinds.clear();
  }

  private ended(key: string, line: string, began: number, fields: LogFields | undefined): void {
    const { leftOut } = this.kinds.get(key)!;
    this.kinds.delete(key);
    const seconds = Math.round((performance.now() - began) / 1_000);
    if (leftOut > 0) this.write(`${line} (${leftOut} more like this in the last ${seconds} s)`, fields);
  }
}
