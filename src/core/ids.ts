import { randomInt } from 'node:crypto';

import { monotonicFactory } from 'ulid';

import { InvalidInputError } from './errors/input-errors.js';
import { hasUnsafeCharacters } from './log-text.js';

const nextUlid = monotonicFactory();

/**
 * Makes a run id: a ULID. ULIDs sort by the time of their creation, so new ids share index pages.
 */
export function newRunId(): string {
  return nextUlid();
}

const noncePrefix = randomInt(1, 2 ** 29).toString();
let nonces = 0;

/**
 * Makes a number that no other call returns, as text for `bigint` columns. A random prefix
 * distinguishes processes, and a counter distinguishes calls.
 */
export function newNonce(): string {
  nonces = (nonces + 1) % 1e9;
  return noncePrefix + nonces.toString().padStart(9, '0');
}

/**
 * Makes the id of a session, for a `bigint` column: the time, so that ids sort, and random bits. A
 * sequence could return the same number twice, when a failover has lost its last values. Two
 * processes would then treat each other's runs as their own.
 */
export function newSessionId(): string {
  return ((BigInt(Date.now()) << 21n) | BigInt(randomInt(2 ** 21))).toString();
}

/**
 * Longest id, name, queue, key or tag, in characters. Index rows must stay far below 2,700 bytes.
 */
const MAX_TEXT_LENGTH = 255;

/**
 * Checks a short text that is stored in a column of its own: an id, a name, a queue or a tag.
 *
 * @param argument the caller's name of the text, for the error
 * @throws InvalidInputError when the value is no string, is empty or too long, or has lone
 *   surrogates or characters that a log would interpret
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
      'must not contain control characters, line separators or characters that change the direction of text',
    );
  }
  if (!value.isWellFormed()) throw new InvalidInputError(argument, 'must be well-formed Unicode');
  return value;
}

/**
 * Longest name of a workflow or a signal, in characters. Step keys contain the name with a prefix
 * and a number, and a step key has the limit of `MAX_TEXT_LENGTH`.
 */
const MAX_NAME_LENGTH = 240;

/**
 * Checks a name that becomes part of step keys: `invoke:<workflow>`, `signal:<name>#2`.
 *
 * @throws InvalidInputError as `checkText` does, and when the name ends like the key of a repeated
 *   call
 */
export function checkName(value: unknown, argument: string): string {
  const name = checkText(value, argument);
  if (name.length > MAX_NAME_LENGTH)
    throw new InvalidInputError(argument, `must have at most ${MAX_NAME_LENGTH} characters, not ${name.length}`);
  if (/#\d+$/.test(name)) throw new InvalidInputError(argument, `must not end in "#" and a number, which counts repeated calls: "${name}"`);
  return name;
}
