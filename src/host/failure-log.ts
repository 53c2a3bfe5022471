import { performance } from 'node:perf_hooks';

import type { CodedFields, LogFields } from '../core/log-fields.js';
import { nameOfThrown } from '../core/thrown.js';
import type { AttemptFailure } from '../engine/ports.js';
import { describeError } from './connection-checks.js';

/**
 * Maximum number of lines that are logged in ten seconds. Further failures are only counted, and
 * the log shows their number.
 */
const MAX_LINES_PER_WINDOW = 100;
const WINDOW_MS = 10_000;

/** Run in which an attempt or a step failed. */
export interface FailedRun {
  readonly id: string;
  readonly name: string;
}

type Write = (level: 'warn' | 'error', message: string, fields: CodedFields) => void;

/** Logs one line for each failed attempt, step and run. */
export class FailureLog {
  private windowEnd = Number.NEGATIVE_INFINITY;
  private lines = 0;

  /**
   * @param what the part of an error that is logged. `codes` leaves out error messages: for
   *   applications that encrypt messages in the database, and must not log them in plain text.
   */
  constructor(
    private readonly write: Write,
    private readonly what: 'messages' | 'codes' | 'nothing',
  ) {}

  attemptFailed(run: FailedRun, { stepKey, attempt, maxAttempts, nextAttemptAt, error }: AttemptFailure): void {
    if (!this.isRoom()) return;
    const tries = `attempt ${attempt} of ${maxAttempts}`;
    const next = nextAttemptAt === undefined ? undefined : new Date(nextAttemptAt).toISOString();
    const how = next === undefined ? `failed for good, ${tries}` : `failed, ${tries}, next at ${next}`;
    const code = next === undefined ? 'step-failed' : 'step-attempt-failed';
    const fields: CodedFields = {
      code,
      ...fieldsOf(run),
      step: stepKey,
      attempt,
      maxAttempts,
      ...(next === undefined ? {} : { nextAttemptAt: next }),
    };
    this.write('warn', `run "${run.id}" (${run.name}): step "${stepKey}" ${how}${this.shown(error)}`, fields);
  }

  runFailed(run: FailedRun, code: string, step: string | null, error: unknown): void {
    if (!this.isRoom()) return;
    const where = step === null ? '' : ` at step "${step}"`;
    const fields: CodedFields = { code: 'run-failed', ...fieldsOf(run), errorCode: code, ...(step === null ? {} : { step }) };
    this.write('error', `run "${run.id}" (${run.name}) failed with ${code}${where}${this.shown(error)}`, fields);
  }

  private shown(error: unknown): string {
    if (this.what === 'messages') return `: ${describeError(error)}`;
    return `: ${nameOfThrown(error)}`;
  }

  private isRoom(): boolean {
    if (this.what === 'nothing') return false;
    const now = performance.now();
    if (now >= this.windowEnd) {
      const left = this.lines - MAX_LINES_PER_WINDOW;
      if (left > 0)
        this.write('warn', `worker: left out ${left} more lines about failed attempts, steps and runs`, {
          code: 'failure-lines-left-out',
          count: left,
        });
      this.windowEnd = now + WINDOW_MS;
      this.lines = 0;
    }
    return ++this.lines <= MAX_LINES_PER_WINDOW;
  }
}

function fieldsOf({ id, name }: FailedRun): LogFields {
  return { workflow: name, runId: id };
}
