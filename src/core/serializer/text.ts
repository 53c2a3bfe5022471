/**
 * Prefix of an escaped string. PostgreSQL stores any `json` text, but its operator `->>` fails on
 * `\u0000` and on a lone surrogate. A string or key with such characters is stored as the prefix
 * and an escaped form of the string. In that form, `%` and four hex digits replace each such
 * character. A string that starts with the prefix itself is escaped too. All other strings are
 * stored unchanged.
 */
const PREFIX = '$durable:';

const PREFIX_LITERAL = `"${PREFIX}`;

/**
 * Matches lone surrogates, NUL, and the escape character `%`. With the u flag, a surrogate pair
 * counts as one character and does not match.
 */
const ESCAPED = /[\0%\ud800-\udfff]/gu;
const UNSTORABLE = /[\0\ud800-\udfff]/u;

/**
 * Matches the escapes by which `JSON.stringify` writes the characters that PostgreSQL cannot read.
 * A match may be a false alarm: an escaped backslash followed by plain text such as `u0000`.
 */
const SUSPECT = /\\u(?:0000|d[89a-f])/;

/**
 * Matches a string in JSON text. In JSON, unescaped quotes only delimit strings, so strings are
 * found without parsing.
 */
const LITERAL = /"[^"\\]*(?:\\.[^"\\]*)*"/g;

/**
 * Makes the text of `JSON.stringify` readable for PostgreSQL. Most texts need no change. Two
 * searches for rare characters find such texts quickly. The search for strings comes last, because
 * every text has many quotes and that search is slow.
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
 * True when a text may contain escaped strings. Most texts contain none, so that the decoder need
 * not check each string.
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
