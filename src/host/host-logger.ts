import type { CodedFields, LogFields } from '../core/log-fields.js';
import type { RunLine } from '../engine/ports.js';

/**
 * Arguments of `HostLogger.line`. The remaining arguments, such as an error with its stack, are
 * passed on to the application's logger.
 */
export type HostLine =
  | [level: 'warn' | 'error', message: string, fields: CodedFields, ...rest: unknown[]]
  | [level: 'log', message: string, fields?: LogFields, ...rest: unknown[]];

/** Methods of the application's logger that this module calls. Each call writes one line. */
export interface HostLogger {
  log(message: string): void;
  /**
   * Writes a line with fields, which JSON loggers write separately from the text. Warnings and
   * errors need a code, which also ends their text: `... [worker-died]`.
   */
  line(...line: HostLine): void;
  /** Writes a line that a workflow's code has logged through `ctx.logger`. */
  runLine(workflow: string, runId: string, line: RunLine): void;
}
