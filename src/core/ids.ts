import { randomInt } from 'node:crypto';

import { monotonicFactory } from 'ulid';

import { InvalidInputError } from './errors/input-errors.js';
import { hasUnsafeCharacters } from './log-text.js';

const nextUlid = monotonicFactory();

/** A new run id: a ULID, so that ids sort by the time of their making and neighbours share index pages. */
export function newRunId(): string {
  return nextUlid();
}

const noncePrefix = randomInt(1, 2 ** 29).toString();
let nonces = 0;

/** A number as text, for `bigint` columns, that no other call makes: drawn by the process, counted within it. */
export function newNonce(): string {
  nonces = (nonces + 1) % 1e9;
  return noncePrefix + nonces.toString().padStart(9, '0');
}

/**
 * A session's id, for a `bigint` column: of the time, so that they sort, and of chance. A sequence would give a number again where a fail-over has lost that it
 * had given it, and two processes would take each other's runs for their own.
 */
export function newSessionId(): string {
  return ((BigInt(Date.now()) << 21n) | BigInt(randomInt(2 ** 21))).toString();
}

/** The longest id, name, queue, key or tag that is accepted, in characters; index rows must stay far below 2,700 bytes. */
const MAX_TEXT_LENGTH = 255;

/**
 * Checks a short text that ends up in a column of its own: ids, names, queues, tags.
 *
 * @param argument how the caller names it, for the error
 * @throws InvalidInputError when it is not text, empty, too long, or has lone surrogates or what a log would not show as text
 */
export function checkText(value: unknown, argument: string): string {
  if (typeof value !== 'string') throw new InvalidInputError(argument, `must be a string, not ${value === null ? 'null' : typeof value}`);
  if (value.length === 0) throw new InvalidInputError(argument, 'must not be empty');
  if (value.length > MAX_TEXT_LENGTH) {
    throw new InvalidInputError(argument, `must have at most ${MAX_TEXT_LENGTH} characters, not ${value.length}`);
  }
  if (hasUnsafeCharacters(value)) {
    throw new InvalidInputError(
      argument,
      'must not contain control characters, line separators or characters that turn the direction of text',
    );
  }
  if (!value.isWellFormed()) throw new InvalidInputError(argument, 'must be well-formed Unicode');
  return value;
}

/** Steps are called after workflows and signals, with a word before and a number behind. */
const MAX_NAME_LENGTH = 240;

/**
 * Checks a name of which step keys are made: `invoke:<workflow>`, `signal:<name>#2`.
 *
 * @throws InvalidInputError also when it ends like a step that was called again
 */
export function checkName(value: unknown, argument: string): string {
  const name = checkText(value, argument);
  if (name.length > MAX_NAME_LENGTH)
    throw new InvalidInputError(argument, `must have at most ${MAX_NAME_LENGTH} characters, not ${name.length}`);
  if (/#\d+$/.test(name)) throw new InvalidInputError(argument, `must not end in "#" and a number, which counts repeated calls: "${name}"`);
  return name;
}
