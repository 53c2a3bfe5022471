/** Longest log line, in characters. Text from a database or a request may be longer, and is cut. */
const MAX_LINE_LENGTH = 8_000;

/**
 * Characters that break a line, move the cursor of a terminal, or display text in another order.
 * The characters are controls (C0, DEL, C1), line and paragraph separators, and the bidirectional
 * embeddings, overrides and isolates.
 */
// oxlint-disable-next-line no-control-regex -- control characters are what it looks for
const UNSAFE = /[\u0000-\u001f\u007f-\u009f\u2028\u2029\u202a-\u202e\u2066-\u2069]/;
const EVERY_UNSAFE = new RegExp(UNSAFE.source, 'g');
/** Lone surrogates: one half of a surrogate pair without the other half. */
const LONE = /[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/g;

const SHORT: Record<string, string> = { '\n': String.raw`\n`, '\r': String.raw`\r`, '\t': String.raw`\t` };
const escape = (character: string): string => SHORT[character] ?? `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`;

/** True when a text has characters that a log or a terminal would interpret. */
export function hasUnsafeCharacters(text: string): boolean {
  return UNSAFE.test(text);
}

/**
 * Turns any text into one log line. JavaScript escapes replace the characters that would break the
 * line or forge another one, and a long text is cut.
 *
 * @example logText('line\nbreak') // 'line\\nbreak'
 */
export function logText(text: string): string {
  const line = text.length > MAX_LINE_LENGTH ? `${text.slice(0, MAX_LINE_LENGTH)}... (${text.length} characters)` : text;
  return line.replaceAll(EVERY_UNSAFE, escape).replaceAll(LONE, escape);
}

/** Turns the stack of an error into safe log lines. The line breaks of the stack are kept. */
export function logStack(error: Error): string {
  return (error.stack ?? `${error.name}: ${error.message}`).slice(0, MAX_LINE_LENGTH).split('\n').map(logText).join('\n');
}

/**
 * Returns a number with its noun, which gets an `s` unless the number is one.
 *
 * @example counted(2, 'run') // '2 runs'
 */
export function counted(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? '' : 's'}`;
}
