import { InvalidInputError } from './errors/input-errors.js';

/** The longest name or key of a step, in characters as the application writes them. */
const MAX_LENGTH = 255;

/** What must not stand in a step key as it is: characters that break lines or reorder them, halves of surrogate pairs, and what looks like an escape. */
const UNSAFE =
  // oxlint-disable-next-line no-control-regex -- control characters are what it looks for
  /[\u0000-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\p{Surrogate}]|%(?=[0-9A-F]{2}|u[0-9A-F]{4})/gu;

/** How repeated calls are counted: `charge#2`. */
const NUMBERED = /#(?=\d+$)/;

const ESCAPE = /%(?:u([0-9A-F]{4})|([0-9A-F]{2}))/g;

/**
 * The name or key of a step as it stands in a step key. Nearly all stand there as they are. Characters that would be taken for something else, or break a line of a log, are written
 * as `%` and two hex digits, or `%u` and four: `PO#12` as `PO%2312`.
 *
 * @param argument how errors name it
 * @throws InvalidInputError when it is no text, empty, or longer than 255 characters
 */
export function escapeStepText(text: unknown, argument: string): string {
  if (typeof text !== 'string') throw new InvalidInputError(argument, `must be a string, not ${text === null ? 'null' : typeof text}`);
  if (text.length === 0) throw new InvalidInputError(argument, 'must not be empty');
  if (text.length > MAX_LENGTH) throw new InvalidInputError(argument, `must have at most ${MAX_LENGTH} characters, not ${text.length}`);
  const escaped = text.replace(UNSAFE, escapeCharacter).replace(NUMBERED, '%23');
  return escaped.startsWith('$') ? `%24${escaped.slice(1)}` : escaped;
}

/** The longest step key, in characters. */
const MAX_KEY_LENGTH = 800;

// oxlint-disable-next-line no-control-regex -- control characters are what it looks for
const BREAKING = /[\u0000-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\p{Surrogate}]/gu;

/**
 * A step key that a caller gives, as it stands in the table or as the application wrote its name and key.
 * Characters that no stored key has are escaped.
 *
 * @throws InvalidInputError
 */
export function checkStepKey(given: unknown, argument: string): string {
  if (typeof given !== 'string') throw new InvalidInputError(argument, `must be a string, not ${given === null ? 'null' : typeof given}`);
  if (given.length === 0) throw new InvalidInputError(argument, 'must not be empty');
  const escaped = given.replace(BREAKING, escapeCharacter);
  if (escaped.length > MAX_KEY_LENGTH) throw new InvalidInputError(argument, `must have at most ${MAX_KEY_LENGTH} characters`);
  return escaped;
}

/** Whether the key may be stored in another form than the application wrote it. */
export function mayBeEscaped(stepKey: string): boolean {
  return /[#$%]/.test(stepKey);
}

/** A step key as the application wrote its name and key. */
export function plainStepKey(stepKey: string): string {
  return stepKey.replace(ESCAPE, (_, wide: string | undefined, code: string | undefined) =>
    String.fromCharCode(Number.parseInt(wide ?? code!, 16)),
  );
}

/** A step key for people: what can be shown is shown as the application wrote it. */
export function showStepKey(stepKey: string): string {
  return stepKey.replace(ESCAPE, (escape, _, code: string | undefined) => {
    const shown = code === undefined ? '' : String.fromCharCode(Number.parseInt(code, 16));
    return ['#', '$', '%'].includes(shown) ? shown : escape;
  });
}

function escapeCharacter(character: string): string {
  const code = character.charCodeAt(0).toString(16).toUpperCase();
  return code.length > 2 ? `%u${code.padStart(4, '0')}` : `%${code.padStart(2, '0')}`;
}
