import { performance } from 'node:perf_hooks';
import { clearTimeout, setTimeout } from '../core/timers.js';

import type { CodedFields } from '../core/log-fields.js';
import { describeError } from './connection-checks.js';

/**
 * Maximum number of kinds of warnings that are remembered at a time. Beyond this number, all
 * warnings of new kinds count as one kind.
 */
const MAX_KINDS = 500;

/** Milliseconds for which further warnings of one kind are not logged. */
const WINDOW_MS = { 'every 5 s': 5_000, 'once a minute': 60_000 };

/** Line to write, and what it has in common with others of its kind. */
interface Entry {
  readonly kind: string;
  readonly level: 'warn' | 'error';
  readonly line: string;
  readonly fields: CodedFields;
  readonly cause?: unknown;
}

interface Kind {
  leftOut: number;
  readonly timer: NodeJS.Timeout;
}

/**
 * Returns the text that all warnings of one kind have in common. A warning about a run keeps the
 * names of the workflow and of steps, because different steps have different problems. Run ids,
 * keys of steps and counts are removed. They differ from run to run, so each run would otherwise be
 * a kind of its own. Any other warning loses only the ids of runs and the number in its field
 * `count`.
 */
function kindOf(message: string, count: number | undefined): string {
  if (!message.startsWith('run "')) {
    const uncounted = count === undefined ? message : message.replace(`${count}`, '0');
    return uncounted.replaceAll(/\brun "[^"]*"/g, 'run ""');
  }
  return message
    .replace(/"[^"]*"/, '""')
    .replaceAll(/"([^":#]*)[^"]*"/g, '"$1"')
    .replaceAll(/\d+/g, '0');
}

/**
 * Writes the first warning of each kind, and later the number of warnings that were left out.
 * Otherwise anyone who sends requests could fill the log with warnings. The limiter forgets a kind
 * when the time limit of its first warning has passed.
 */
export class WarningLimiter {
  private readonly kinds = new Map<string, Kind>();
  private closed = false;

  /** @param write writes a line; `cause` is the error of an error line */
  constructor(private readonly write: (line: string, level: 'warn' | 'error', fields: CodedFields, cause?: unknown) => void) {}

  /**
   * Writes a warning, unless one of the same kind was written shortly before.
   *
   * @param message text that identifies the kind; run ids, keys of steps and counts in it may
   *   differ
   * @param error cause of the warning, if there is one
   */
  warn(message: string, error: unknown, how: keyof typeof WINDOW_MS, fields: CodedFields): void {
    const line = error === undefined ? message : `${message}: ${describeError(error)}`;
    this.limit({ kind: kindOf(message, fields.count), level: 'warn', line, fields }, WINDOW_MS[how]);
  }

  /**
   * Writes an error about a run with its cause, unless one of the same kind and workflow was
   * written shortly before. A deployment can block thousands of runs at once.
   */
  error(message: string, cause: unknown, fields: CodedFields): void {
    const kind = `${fields.code}\n${fields.workflow}\n${kindOf(message, fields.count)}`;
    this.limit({ kind, level: 'error', line: message, fields, cause }, WINDOW_MS['every 5 s']);
  }

  /**
   * Writes a line, unless one of the same kind was written shortly before.
   *
   * @param windowMs milliseconds for which further lines of this kind are left out
   */
  limit(entry: Entry, windowMs: number): void {
    const { kind } = entry;
    if (this.closed) return;
    const key = this.kinds.has(kind) || this.kinds.size < MAX_KINDS ? kind : '';
    const known = this.kinds.get(key);
    if (known) {
      known.leftOut++;
      return;
    }
    const began = performance.now();
    const timer = setTimeout(() => this.ended(key, entry, began), windowMs).unref();
    this.kinds.set(key, { leftOut: 0, timer });
    this.writeEntry(entry, entry.line);
  }

  /**
   * Forgets all kinds and writes nothing more, because later failures only result from closing the
   * module.
   */
  close(): void {
    this.closed = true;
    for (const { timer } of this.kinds.values()) clearTimeout(timer);
    this.kinds.clear();
  }

  private ended(key: string, entry: Entry, began: number): void {
    const { leftOut } = this.kinds.get(key)!;
    this.kinds.delete(key);
    const seconds = Math.round((performance.now() - began) / 1_000);
    if (leftOut > 0) this.writeEntry(entry, `${entry.line} (${leftOut} more like this in the last ${seconds} s)`);
  }

  private writeEntry({ level, fields, cause }: Entry, line: string): void {
    if (cause === undefined) this.write(line, level, fields);
    else this.write(line, level, fields, cause);
  }
}
