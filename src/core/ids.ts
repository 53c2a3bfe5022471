import { randomFillSync, randomInt } from 'node:crypto';

import { monotonicFactory } from 'ulid';

import { InvalidInputError } from './errors/input-errors.js';
import { hasUnsafeCharacters } from './log-text.js';
import { isNumbered } from './step-key-format.js';

/** Random bytes for run ids, because `ulid` itself would call Node once for each byte. */
const randomBytes = new Uint8Array(4_096);
let usedBytes = randomBytes.length;

function random(): number {
  if (usedBytes === randomBytes.length) {
    randomFillSync(randomBytes);
    usedBytes = 0;
  }
  return randomBytes[usedBytes++]! / 256;
}

const nextUlid = monotonicFactory(random);

/**
 * Makes a run id: a ULID. ULIDs sort by creation time, so new ids are close together in an index
 * and share its pages.
 */
export function newRunId(): string {
  // A faked clock may stand at 0, at which the factory cannot make its first id.
  return nextUlid(Math.max(1, Date.now()));
}

const noncePrefix = randomInt(1, 2 ** 29).toString();
let nonces = 0;

/**
 * Makes a number that no other call returns, as text for `bigint` columns. A random prefix
 * distinguishes processes, and a counter distinguishes the calls of one process.
 */
export function newNonce(): string {
  nonces = (nonces + 1) % 1e9;
  return noncePrefix + nonces.toString().padStart(9, '0');
}

/**
 * Makes a session id for a `bigint` column: the current time, so that ids sort by age, and random
 * bits. A database sequence could return the same number twice after a failover that lost the
 * sequence's last values. Two processes with the same session id would treat each other's runs as
 * their own.
 */
export function newSessionId(): string {
  return ((BigInt(Date.now()) << 21n) | BigInt(randomInt(2 ** 21))).toString();
}

/**
 * Longest id, name, queue, key or tag, in characters. Indexes contain these texts, and PostgreSQL
 * refuses an index row of more than about 2,700 bytes.
 */
const MAX_TEXT_LENGTH = 255;

/**
 * Checks a short text that is stored in a column of its own: an id, a name, a queue or a tag.
 *
 * @param argument the name of the text in errors
 * @throws InvalidInputError when the value is not a string, is empty or too long, has lone
 *   surrogates, or has characters that would break a log line
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
 * Longest name of a workflow or a signal, in characters. A step key contains the name, a prefix and
 * a number, so the name must be shorter than `MAX_TEXT_LENGTH`.
 */
const MAX_NAME_LENGTH = 240;

/**
 * Checks a name that becomes part of step keys: `invoke:<workflow>`, `signal:<name>#2`.
 *
 * @throws InvalidInputError as `checkText` does, and when the name ends in `#` and a number. A step
 *   key uses such an ending to count repeated calls
 */
export function checkName(value: unknown, argument: string): string {
  const name = checkText(value, argument);
  if (name.length > MAX_NAME_LENGTH)
    throw new InvalidInputError(argument, `must have at most ${MAX_NAME_LENGTH} characters, not ${name.length}`);
  if (isNumbered(name)) throw new InvalidInputError(argument, `must not end in "#" and a number, which counts repeated calls: "${name}"`);
  return name;
}
