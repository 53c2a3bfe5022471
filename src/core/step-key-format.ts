import { InvalidInputError } from './errors/input-errors.js';

/** Step key under which a cancellation is recorded. */
export const CANCEL_KEY = '$cancel';

/** Key of the timer for a run's deadline. */
export const TIMEOUT_KEY = '$timeout';

/** Step key under which the beginning of a run's compensations is recorded. */
export const COMPENSATING_KEY = '$compensating';

/** Step key under which the end of a run's compensations is recorded. */
export const COMPENSATED_KEY = '$compensated';

/**
 * Beginning of the step keys of compensations. No step of an application begins with it, because a
 * dollar sign at the start of a name is escaped.
 */
export const COMPENSATION_PREFIX = '$compensate:';

/** Returns the step key, or the step name, of the compensation of a step. */
export function compensationOf(step: string): string {
  return COMPENSATION_PREFIX + step;
}

/** Beginning of the step keys of waits for signals. */
const SIGNAL_PREFIX = 'signal:';

/**
 * Largest length of a step key without its number, in characters. Keeps index rows that contain a
 * step key below PostgreSQL's limit of 2,700 bytes.
 */
const MAX_KEY_LENGTH = 800;

/** Largest length of a stored step key: the key of a numbered call's compensation. */
const MAX_STORED_LENGTH = COMPENSATION_PREFIX.length + MAX_KEY_LENGTH + `#${Number.MAX_SAFE_INTEGER}`.length;

/** Matches the number in the step key of a repeated call: `charge#2`. */
const NUMBERED = /#(\d+)$/;

/** Form of `NUMBERED` for PostgreSQL. */
const NUMBERED_SQL = `'#[0-9]+$'`;

/**
 * Characters that can follow the name in a step key. They introduce the application's own key, a
 * number, or an escape.
 */
const NAME_END = /[:#%]/;

/** Character between a step key and a number that distinguishes senders or ids of this step key. */
const VARIANT = '~';

/** Returns the step key under which a patch is recorded. */
export function patchKey(id: string): string {
  return `$patch:${id}`;
}

/** Returns the step name of a wait for a signal. */
export function signalStepName(signal: string): string {
  return SIGNAL_PREFIX + signal;
}

/** Returns the step name of a wait for an event. */
export function eventStepName(event: string): string {
  return `event:${event}`;
}

/** Returns SQL for the name of the message that brings an event to a wait. */
export function eventAddressSql(seq: string, stepKey: string): string {
  return `(${seq}::text || ':' || ${stepKey})`;
}

/** Reads the name of a message that brings an event to a wait. */
export function parseEventAddress(name: string): { readonly seq: string; readonly stepKey: string } {
  const end = name.indexOf(':');
  return { seq: name.slice(0, end), stepKey: name.slice(end + 1) };
}

/** Returns the step name of a call that emits an event. */
export function emitStepName(event: string): string {
  return `emit:${event}`;
}

/** Returns SQL for the name of the signal in the step key of a wait for a signal. */
export function signalNameSql(stepKey: string): string {
  return `regexp_replace(substr(${stepKey}, length('${SIGNAL_PREFIX}') + 1), ${NUMBERED_SQL}, '')`;
}

/** Returns the step name of a call that starts a child run, with or without waiting for its end. */
export function childStepName(call: 'invoke' | 'start', workflow: string): string {
  return `${call}:${workflow}`;
}

/**
 * Builds the step key of the first call with this name and key: `charge` or `charge:<key>`.
 *
 * @throws InvalidInputError when the name or the key is not a string, is empty or is too long
 */
export function firstStepKey(name: string, key: string | undefined): string {
  let stepKey = escapeStepText(name, 'step name');
  if (key !== undefined) stepKey = `${stepKey}:${escapeStepText(key, `key of step "${name}"`)}`;
  if (stepKey.length > MAX_KEY_LENGTH)
    throw new InvalidInputError('step key', `must have at most ${MAX_KEY_LENGTH} characters, not ${stepKey.length}`);
  return stepKey;
}

/** Returns the step key of the call with this number: `charge#2` for the second `charge`. */
export function numberedStepKey(first: string, number: number): string {
  return number === 1 ? first : `${first}#${number}`;
}

/** True when a text ends like the step key of a repeated call. */
export function isNumbered(text: string): boolean {
  return NUMBERED.test(text);
}

/** Returns the step key of the previous call with the same name: `charge#2` for `charge#3`. */
export function precedingKey(stepKey: string): string | undefined {
  const numbered = NUMBERED.exec(stepKey);
  if (!numbered) return undefined;
  return numberedStepKey(stepKey.slice(0, numbered.index), Math.max(1, Number(numbered[1]) - 1));
}

/** Returns the part of a step key that is at most the step's name, for a search of similar keys. */
export function beginningOf(stepKey: string): string {
  const end = stepKey.search(NAME_END);
  return end > 0 ? stepKey.slice(0, end) : stepKey;
}

/**
 * Returns the name of a step for metrics: `charge` for `charge`, `charge#2` and `charge:item-7`,
 * and `$compensate:charge` for their compensations. A name that contains a colon is cut there. Uses
 * no regular expression, because it is called for each result.
 */
export function stepLabelOf(stepKey: string): string {
  const start = stepKey.startsWith(COMPENSATION_PREFIX) ? COMPENSATION_PREFIX.length : 0;
  const colon = stepKey.indexOf(':', start);
  const end = colon > start ? colon : stepKey.lastIndexOf('#');
  return end > start ? stepKey.slice(0, end) : stepKey;
}

/**
 * Returns the address to which a child run sends its result. The address changes when an operator
 * retries the parent. So the result of a child from before the retry is not taken for the result of
 * a new child.
 */
export function childAddress(stepKey: string, generation: number): string {
  return generation === 0 ? stepKey : stepKey + VARIANT + generation;
}

/** Returns SQL for `childAddress`. */
export function childAddressSql(stepKey: string, generation: string): string {
  return `${stepKey} || CASE WHEN ${generation} > 0 THEN '${VARIANT}' || ${generation} ELSE '' END`;
}

/** Step name of a call that creates a hook. A step of the application may have this name too. */
export const HOOK_STEP = 'hook';

/** True for the step key of a call that creates a hook: `hook` or `hook#2`. */
export function isHookKey(stepKey: string): boolean {
  return stepKey.replace(NUMBERED, '') === HOOK_STEP;
}

/** Returns SQL for `isHookKey`. */
export function isHookKeySql(stepKey: string): string {
  return `(${stepKey} LIKE '${HOOK_STEP}%' AND regexp_replace(${stepKey}, ${NUMBERED_SQL}, '') = '${HOOK_STEP}')`;
}

/**
 * Returns the text from which the id of a started run is computed. `life` is 1 for the first id,
 * and higher when earlier ids are taken.
 */
export function startedIdKey(stepKey: string, life: number): string {
  return life === 1 ? stepKey : stepKey + VARIANT + life;
}

/** Longest name or key of a step, in characters, before special characters are escaped. */
const MAX_LENGTH = 255;

/**
 * Characters that are escaped in step keys: characters that break or reorder lines, lone
 * surrogates, and percent signs that look like an escape.
 */
const UNSAFE =
  // oxlint-disable-next-line no-control-regex -- control characters are what it looks for
  /[\u0000-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\p{Surrogate}]|%(?=[0-9A-F]{2}|u[0-9A-F]{4})/gu;

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
  const escaped = text.replace(UNSAFE, escapeCharacter).replace(NUMBERED, '%23$1');
  return escaped.startsWith('$') ? `%24${escaped.slice(1)}` : escaped;
}

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
  if (escaped.length > MAX_STORED_LENGTH) throw new InvalidInputError(argument, `must have at most ${MAX_STORED_LENGTH} characters`);
  return escaped;
}

/** True when the stored form of the key may differ from the form that the application wrote. */
export function mayBeEscaped(stepKey: string): boolean {
  return /[#$%]/.test(stepKey);
}

/** True when a step key contains an escape. */
export function hasEscape(stepKey: string): boolean {
  return stepKey.includes('%');
}

/** Returns SQL for `hasEscape`. */
export function hasEscapeSql(stepKey: string): string {
  return `position('%' IN ${stepKey}) > 0`;
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
