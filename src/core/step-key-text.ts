import { InvalidInputError } from './errors/input-errors.js';

/** Longest name or key of a step, in characters, before special characters are escaped. */
const MAX_LENGTH = 255;

/**
 * Characters that are escaped in step keys: characters that break or reorder lines, lone
 * surrogates, and percent signs that look like an escape.
 */
const UNSAFE =
  // oxlint-disable-next-line no-control-regex -- control characters are what it looks for
  /[\u0000-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\p{Surrogate}]|%(?=[0-9A-F]{2}|u[0-9A-F]{4})/gu;

/** Matches the `#` in a text that ends like the step key of a repeated call: `charge#2`. */
const NUMBERED = /#(?=\d+$)/;

const ESCAPE = /%(?:u([0-9A-F]{4})|([0-9A-F]{2}))/g;

/**
 * Escapes the name or key of a step for use in a step key. Most texts are unchanged. Characters
 * that have a meaning in step keys, or that would break a log line, are escaped. The escape is `%`
 * and two hex digits, or `%u` and four: `PO#12` becomes `PO%2312`.
 *
 * @param argument the name of the text in errors
 * @throws InvalidInputError when the text is not a string, is empty, or is longer than 255
 *   characters
 */
export function escapeStepText(text: unknown, argument: string): string {
  if (typeof text !== 'string') throw new InvalidInputError(argument, `must be a string, not ${text === null ? 'null' : typeof text}`);
  if (text.length === 0) throw new InvalidInputError(argument, 'must not be empty');
  if (text.length > MAX_LENGTH) throw new InvalidInputError(argument, `must have at most ${MAX_LENGTH} characters, not ${text.length}`);
  const escaped = text.replace(UNSAFE, escapeCharacter).replace(NUMBERED, '%23');
  return escaped.startsWith('$') ? `%24${escaped.slice(1)}` : escaped;
}

/** Longest step key, in characters. */
const MAX_KEY_LENGTH = 800;

// oxlint-disable-next-line no-control-regex -- control characters are what it looks for
const BREAKING = /[\u0000-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\p{Surrogate}]/gu;

/**
 * Checks a step key that a caller passes. The caller may have copied the key from the database, or
 * may have written the step's name and key without escapes. Only characters that no stored step key
 * contains are escaped, so a key from the database stays unchanged.
 *
 * @param argument the name of the step key in errors
 * @throws InvalidInputError when the step key is not a string, is empty or is too long
 */
export function checkStepKey(given: unknown, argument: string): string {
  if (typeof given !== 'string') throw new InvalidInputError(argument, `must be a string, not ${given === null ? 'null' : typeof given}`);
  if (given.length === 0) throw new InvalidInputError(argument, 'must not be empty');
  const escaped = given.replace(BREAKING, escapeCharacter);
  if (escaped.length > MAX_KEY_LENGTH) throw new InvalidInputError(argument, `must have at most ${MAX_KEY_LENGTH} characters`);
  return escaped;
}

/** True when the stored form of the key may differ from the form that the application wrote. */
export function mayBeEscaped(stepKey: string): boolean {
  return /[#$%]/.test(stepKey);
}

/**
 * Reverses all escapes in a step key, so that the step's name and key read as the application wrote
 * them.
 */
export function plainStepKey(stepKey: string): string {
  return stepKey.replace(ESCAPE, (_, wide: string | undefined, code: string | undefined) =>
    String.fromCharCode(Number.parseInt(wide ?? code!, 16)),
  );
}

/**
 * Returns a step key for display. The characters `#`, `$` and `%` are shown as the application
 * wrote them. All other characters stay escaped.
 */
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
