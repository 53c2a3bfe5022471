/**
 * Prefix of an escaped string. PostgreSQL keeps `json` text as it is, but `->>` fails on `\u0000`
 * and on a lone surrogate. A string or key with one of them is stored as the prefix, followed by
 * the string with those characters as `%` and four hex digits. Any other string stays as it is,
 * except a string that starts with the prefix itself.
 */
const PREFIX = '$durable:';

const PREFIX_LITERAL = `"${PREFIX}`;

/** Lone surrogates (a pair is one character under the u flag), NUL, and the escape character. */
const ESCAPED = /[\0%\ud800-\udfff]/gu;
const UNSTORABLE = /[\0\ud800-\udfff]/u;

/**
 * Escapes by which `JSON.stringify` writes the characters that PostgreSQL cannot read. A match may
 * also be an escaped backslash with plain text behind it.
 */
const SUSPECT = /\\u(?:0000|d[89a-f])/;

/** JSON string. Quotes only delimit strings in JSON text, so strings are found without parsing. */
const LITERAL = /"[^"\\]*(?:\\.[^"\\]*)*"/g;

/**
 * Makes the text of `JSON.stringify` readable for PostgreSQL. Most texts need no change. Two
 * searches of the whole text for rare characters show that; a search for quotes would match every
 * text.
 */
export function escapeText(text: string): string {
  if (!(text.includes('\\u') && SUSPECT.test(text)) && !text.includes(PREFIX)) return text;
  return text.replace(LITERAL, (literal) => {
    if (!SUSPECT.test(literal) && !literal.startsWith(PREFIX_LITERAL)) return literal;
    const value = JSON.parse(literal) as string;
    return UNSTORABLE.test(value) || isEscaped(value) ? JSON.stringify(PREFIX + value.replace(ESCAPED, escapeCharacter)) : literal;
  });
}

/**
 * True when a text may hold escaped strings. For most texts false, which saves a check per string.
 */
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
