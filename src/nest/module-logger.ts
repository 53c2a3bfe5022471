import { Logger } from '@nestjs/common';

import { logStack, logText } from '../core/log-text.js';

/**
 * The logger of the module. Whatever a line was made of (names that stand in the database, errors of steps, what a request brought), it stays one line
 * and shows as what it is.
 */
export class ModuleLogger extends Logger {
  override log(message: unknown, ...rest: unknown[]): void {
    super.log(safe(message), ...rest.map(safe));
  }

  override warn(message: unknown, ...rest: unknown[]): void {
    super.warn(safe(message), ...rest.map(safe));
  }

  override error(message: unknown, ...rest: unknown[]): void {
    super.error(safe(message), ...rest.map(safe));
  }

  override debug(message: unknown, ...rest: unknown[]): void {
    super.debug(safe(message), ...rest.map(safe));
  }

  override verbose(message: unknown, ...rest: unknown[]): void {
    super.verbose(safe(message), ...rest.map(safe));
  }

  override fatal(message: unknown, ...rest: unknown[]): void {
    super.fatal(safe(message), ...rest.map(safe));
  }
}

/** Objects of fields are for loggers that write JSON, which escape by themselves. */
function safe(value: unknown): unknown {
  if (typeof value === 'string') return logText(value);
  return value instanceof Error ? logStack(value) : value;
}
