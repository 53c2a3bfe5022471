import type { LogLevel, RunLogger } from '../core/log-fields.js';
import type { PassHandle } from './pass-handle.js';

const LEVELS: readonly LogLevel[] = ['fatal', 'error', 'warn', 'log', 'debug', 'verbose'];

/**
 * Creates the logger for one execution of the workflow's code (a pass). The logger writes nothing
 * while the code repeats what an earlier pass did, because that pass has already logged the same
 * lines.
 */
export function makeRunLogger(pass: PassHandle): RunLogger {
  const { definition, run, settings } = pass;
  const write = (level: LogLevel, message: unknown, params: readonly unknown[]): void => {
    if (!pass.isReplaying && !pass.isClosed) settings.log(definition.name, run.id, { level, message, params });
  };
  const methods = LEVELS.map((level) => [level, (message: unknown, ...params: unknown[]) => write(level, message, params)] as const);
  return Object.freeze(Object.fromEntries(methods)) as RunLogger;
}
