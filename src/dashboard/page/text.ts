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

/** Formats JSON with indentation. A text that is cut or nested too deeply stays as it is. */
export function indented(text: string, isCut: boolean): string {
  if (isCut || text.length > 200_000) return text;
  try {
    return JSON.stringify(JSON.parse(text), null, 2);
  } catch {
    return text;
  }
}

/** Returns a number with its noun. */
export function counted(count: number, noun: string): string {
  return `${count.toLocaleString('en-US')} ${noun}${count === 1 ? '' : 's'}`;
}

/** Shortens a large number. `1,000` of a bounded count stands for 1,000 or more. */
export function bounded(count: number, limit = 1_000): string {
  return count >= limit ? `${limit.toLocaleString('en-US')}+` : count.toLocaleString('en-US');
}
