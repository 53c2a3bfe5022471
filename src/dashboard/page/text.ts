// Characters that change the direction or the visibility of text, without tabs and line breaks.
const HIDDEN = /(?![\t\n\r])[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu;

/** Replaces characters that could make a text look like another one by their codes. */
export function visible(text: string): string {
  return text.replace(HIDDEN, (character) => `\\u{${character.codePointAt(0)!.toString(16)}}`);
}

/** Shortens a long text in its middle. */
export function shortened(text: string, length: number): string {
  if (text.length <= length) return text;
  const end = Math.floor(length / 3);
  return `${text.slice(0, length - end - 1)}…${text.slice(-end)}`;
}

/** Longest text that a browser shows without a pause. */
const MOST_SHOWN = 1_000_000;

/**
 * Formats JSON of a payload for the page. Codes and indentation make a text longer, so it is cut
 * again, and ends with an ellipsis then.
 */
export function payloadText(text: string, isCut: boolean): string {
  const shown = visible(indented(text, isCut));
  return isCut || shown.length > MOST_SHOWN ? `${shown.slice(0, MOST_SHOWN)}…` : shown;
}

/** Most levels of a text that is indented. The indentation grows with the square of the levels. */
const MOST_LEVELS = 50;

/** Formats JSON with indentation. A text that is cut or nested too deeply stays as it is. */
function indented(text: string, isCut: boolean): string {
  if (isCut || text.length > 200_000 || levelsOf(text) > MOST_LEVELS) return text;
  try {
    return JSON.stringify(JSON.parse(text), null, 2);
  } catch {
    return text;
  }
}

/** Returns the number of levels to which JSON is nested. */
function levelsOf(text: string): number {
  let level = 0;
  let most = 0;
  for (const [token] of text.matchAll(/"(?:[^"\\]|\\.)*"|[[{]|[\]}]/g)) {
    if (token === '[' || token === '{') most = Math.max(most, ++level);
    else if (token === ']' || token === '}') level--;
  }
  return most;
}

/** Returns a number with its noun. */
export function counted(count: number, noun: string): string {
  return `${count.toLocaleString('en-US')} ${noun}${count === 1 ? '' : 's'}`;
}

/** Shortens a large number. `1,000` of a bounded count stands for 1,000 or more. */
export function bounded(count: number, limit = 1_000): string {
  return count >= limit ? `${limit.toLocaleString('en-US')}+` : count.toLocaleString('en-US');
}
