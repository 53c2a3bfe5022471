import type { LogFields, LogLevel } from '../core/log-fields.js';
import type { RunLine } from '../engine/ports.js';

/** Methods of the application's logger that this module calls. Each call writes one line. */
export interface HostLogger {
  log(message: string): void;
  warn(message: string): void;
  error(message: string): void;
  /** Writes a line with fields, which JSON loggers write separately from the text. */
  line(level: LogLevel, message: string, fields?: LogFields, ...rest: unknown[]): void;
  /** Writes a line that a workflow's code has logged through `ctx.logger`. */
  runLine(workflow: string, runId: string, line: RunLine): void;
}
