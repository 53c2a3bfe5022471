import { inspect } from 'node:util';

import { ConsoleLogger, Logger } from '@nestjs/common';

import type { LogFields } from '../core/log-fields.js';

/**
 * Log line with fields. JSON loggers write the properties of this object: Nest's and Winston's
 * expect the text in `message`, Pino's in `msg`. Converted to a string, the line is its message.
 */
export class LogLine {
  readonly message: string;
  readonly msg: string;

  constructor(message: string, fields: LogFields) {
    this.message = message;
    this.msg = message;
    Object.assign(this, fields);
  }

  toJSON(): object {
    const { msg: _msg, ...rest } = this;
    return rest;
  }

  toString(): string {
    return this.message;
  }

  [inspect.custom](): string {
    return this.message;
  }
}

/**
 * Returns true when the application's logger writes the properties of an object as fields. Nest's
 * logger with the option `json` does, and so do the loggers of Pino and Winston. Other loggers
 * receive text.
 */
export function takesFields(): boolean {
  // Read a private field, because Nest has no public access to the logger in use.
  const { staticInstanceRef: logger } = Logger as unknown as { staticInstanceRef?: unknown };
  if (typeof logger !== 'object' || logger === null || logger instanceof Logger) return false;
  if (logger instanceof ConsoleLogger) return (logger as unknown as { options?: { json?: boolean } }).options?.json === true;
  // The Nest adapters for Pino and Winston keep the logger that they wrap under this name.
  const { logger: inner } = logger as { logger?: unknown };
  return typeof inner === 'object' && inner !== null;
}
