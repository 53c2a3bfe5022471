import { types } from 'node:util';

import { InvalidInputError, WorkflowError } from '../core/errors/index.js';
import { logStack, logText } from '../core/log-text.js';
import { describeError } from '../host/connection-checks.js';
import { EXIT, type ExitCode } from './exit-codes.js';

/** Failure of a command, with the code and the exit code that the user sees. */
export class CommandError extends Error {
  constructor(
    readonly code: string,
    message: string,
    readonly exitCode: ExitCode,
    options?: { cause?: unknown },
  ) {
    super(message, options);
    this.name = 'CommandError';
  }
}

/** Creates the error for an argument or an option that the command cannot use. */
export function usageError(message: string): CommandError {
  return new CommandError('USAGE', message, EXIT.usage);
}

const EXIT_CODES: Readonly<Record<string, ExitCode>> = {
  INVALID_INPUT: EXIT.usage,
  RUN_NOT_FOUND: EXIT.notFound,
  SCHEDULE_NOT_FOUND: EXIT.notFound,
  SCHEDULE_DECLARED: EXIT.notAllowed,
  RUN_ENDED: EXIT.notAllowed,
  RUN_NOT_RETRYABLE: EXIT.notAllowed,
  RUN_NOT_ENDED: EXIT.notAllowed,
  INBOX_FULL: EXIT.notAllowed,
  DATABASE_UNAVAILABLE: EXIT.unavailable,
};

/** Description of an error for the user. */
export interface Failure {
  readonly code: string;
  readonly message: string;
  readonly exitCode: ExitCode;
}

/**
 * Describes an error that a command has thrown. The description never has the password of the
 * database.
 *
 * @param options names of the command's options. An error about the client's argument
 * `filter.errorCode` then names the option `--error-code`
 */
export function failureOf(error: unknown, options: ReadonlySet<string>): Failure {
  if (error instanceof CommandError) return { code: error.code, message: withoutPasswords(error.message), exitCode: error.exitCode };
  const message = withoutPasswords(error instanceof InvalidInputError ? inWordsOfOptions(error, options) : describeError(error));
  if (error instanceof WorkflowError) return { code: error.code, message, exitCode: EXIT_CODES[error.code] ?? EXIT.failed };
  const code = types.isNativeError(error) || error instanceof Error ? (error as { code?: unknown }).code : undefined;
  return { code: typeof code === 'string' ? code : 'INTERNAL', message, exitCode: EXIT.failed };
}

/** Returns the stack of an error, and of its causes, as safe lines without passwords. */
export function stackOf(error: unknown): string {
  const stacks: string[] = [];
  for (let current = error, depth = 0; current instanceof Error && depth < 5; current = current.cause, depth++) {
    stacks.push(withoutPasswords(logStack(current)));
  }
  return stacks.length === 0 ? logText(String(error)) : stacks.join('\ncaused by ');
}

/** Replaces the password in every URL of a text. */
export function withoutPasswords(text: string): string {
  return text.replaceAll(/(\w+:\/\/[^\s:@/]*:)\S*@/g, '$1***@').replaceAll(/([?&]password=)[^\s&]*/gi, '$1***');
}

/** Names the option instead of the client's argument: `--error-code` for `filter.errorCode`. */
function inWordsOfOptions(error: InvalidInputError, options: ReadonlySet<string>): string {
  const [first = ''] = error.argument.replace(/^(?:options\.)?(?:filter\.)?/, '').split(/[.[]/);
  const name = first.replaceAll(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
  const detail = error.message.slice(error.argument.length);
  if (name === 'run-id') return `RUN${detail}`;
  const option = [name, name.replace(/s$/, ''), `workflow-${name}`, name.replace(/^group-/, '')].find((each) => options.has(each));
  if (option === undefined) return error.message;
  // The end of a period is compared with its beginning, which the client calls `createdAfter`.
  return `--${option}${detail.replace(/\b(created|finished)After\b/g, '--$1-after')}`;
}
