import { inspect } from 'node:util';

import { Logger } from '@nestjs/common';

import type { CodedFields } from '../core/log-fields.js';
import { logStack, logText } from '../core/log-text.js';
import type { RunLine } from '../engine/ports.js';
import type { HostLine, HostLogger } from '../host/host-logger.js';
import { LogLine, takesFields } from './log-line.js';

/**
 * Logger of the module. Text from outside (names in the database, errors of steps, requests) is
 * escaped, so that it cannot begin a new log line.
 */
export class ModuleLogger extends Logger implements HostLogger {
  /**
   * Writes a message with its fields if the application's logger supports fields; otherwise writes
   * only the message, followed by its code. Never throws, because the work of the module must not
   * fail when the application's logger does.
   */
  line(...[level, message, fields = {}, ...rest]: HostLine): void {
    const { code }: Partial<CodedFields> = fields;
    const text = code === undefined ? message : `${message} [${code}]`;
    const isPlain = Object.keys(fields).length === 0 || !takesFields();
    try {
      this[level](isPlain ? text : new LogLine(logText(message), fields), ...rest);
    } catch {
      // The logger cannot report its own failure.
    }
  }

  runLine(workflow: string, runId: string, { level, message, params }: RunLine): void {
    if (!takesFields()) return new ModuleLogger(`${workflow} ${runId}`)[level](message, ...params);
    const logger = new ModuleLogger(workflow);
    const fields = { workflow, runId };
    if (message instanceof Error) return logger[level](new LogLine(logText(message.message), fields), logStack(message), ...params);
    if (typeof message === 'object' && message !== null) return logger[level]({ ...message, ...fields }, ...params);
    logger[level](new LogLine(logText(typeof message === 'string' ? message : inspect(message)), fields), ...params);
  }

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

/**
 * Escapes text and errors. Leaves objects with fields unescaped: only loggers that write JSON
 * receive such objects, and JSON escapes the text in them.
 */
function safe(value: unknown): unknown {
  if (typeof value === 'string') return logText(value);
  return value instanceof Error ? logStack(value) : value;
}
