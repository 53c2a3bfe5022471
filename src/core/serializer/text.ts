/**
 * PostgreSQL keeps `json` text as it is, but `->>` fails on `\u0000` and on half a surrogate pair. A string (or key) with
 * one of them is stored as `$durable:` and the string with those characters as `%` and four hex digits. Any other
 * string stays as it is, except one that begins with the prefix itself.
 */
const PREFIX = '$durable:';

const PREFIX_LITERAL = `"${PREFIX}`;

/** Half a surrogate pair (whole pairs are one character under the u flag), NUL, and the escape character. */
const ESCAPED = /[\0%\ud800-\udfff]/gu;
const UNSTORABLE = /[\0\ud800-\udfff]/u;

/** How `JSON.stringify` writes the characters that PostgreSQL cannot read; it may also be a backslash and plain text. */
const SUSPECT = /\\u(?:0000|d[89a-f])/;

/** A JSON string. Quotes do nothing else in JSON text, so strings can be found without parsing. */
const LITERAL = /"[^"\\]*(?:\\.[^"\\]*)*"/g;

/**
 * Makes what `JSON.stringify` wrote readable for PostgreSQL. Nearly always nothing is to do, and two searches for
 * rare characters (a quote would not be one) in the whole text say so.
 */
export function escapeText(text: string): string {
  if (!(text.includes('\\u') && SUSPECT.test(text)) && !text.includes(PREFIX)) return text;
  return text.replace(LITERAL, (literal) => {
    if (!SUSPECT.test(literal) && !literal.startsWith(PREFIX_LITERAL)) return literal;
    const value = JSON.parse(literal) as string;
    return UNSTORABLE.test(value) || isEscaped(value) ? JSON.stringify(PREFIX + value.replace(ESCAPED, escapeCharacter)) : literal;
  });
}

/** Whether a text may hold escaped strings; most do not, and are spared the look at each. */
export function mayHoldEscapes(text: string): boolean {
  return text.includes(PREFIX);
}

export function isEscaped(value: string): boolean {
  return value.startsWith(PREFIX);
}

export function unescapeString(value: string): string {
  if (!isEscaped(value)) return value;
  return value.slice(PREFIX.length).replace(/%([0-9a-f]{4})/g, (_, code: string) => String.fromCharCode(Number.parseInt(code, 16)));
}

function escapeCharacter(character: string): string {
  return `%${character.charCodeAt(0).toString(16).padStart(4, '0')}`;
}
