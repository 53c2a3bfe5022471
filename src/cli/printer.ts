import { inspect } from 'node:util';

import { logText } from '../core/log-text.js';
import { errorFields, jsonText } from './json.js';
import type { Io } from './io.js';

const STYLES = {
  bold: '\u001b[1m',
  dim: '\u001b[2m',
  red: '\u001b[31m',
  green: '\u001b[32m',
  yellow: '\u001b[33m',
  cyan: '\u001b[36m',
} as const;
const RESET = '\u001b[0m';

export type Style = keyof typeof STYLES;

/** A part of a line: plain text, or text in a style. */
export type Segment = string | readonly [text: string, style: Style];

/** Longest text of a cell in a table, in characters. */
const MAX_CELL = 120;

/**
 * Prints the output of a command. Data from the database may contain control characters, with which
 * a terminal could be made to hide or forge lines. So all text is escaped before it is printed.
 */
export class Printer {
  private progressWidth = 0;

  constructor(
    private readonly io: Io,
    /** True when the user wants JSON. */
    readonly isJson: boolean,
  ) {}

  /** Prints a line of text. */
  async line(...segments: readonly Segment[]): Promise<void> {
    this.clearProgress();
    await this.io.write(
      `${segments
        .map((segment) => this.render(segment))
        .join('')
        .trimEnd()}\n`,
    );
  }

  /** Prints a table without borders. Columns are as wide as their widest cell. */
  async table(headings: readonly string[], rows: readonly (readonly Segment[])[]): Promise<void> {
    const head = headings.map((heading): Segment => [heading, 'dim']);
    const cells = [head, ...rows].map((row) => row.map(shorten));
    const widths = headings.map((_, column) => Math.max(...cells.map((row) => widthOf(row[column] ?? ''))));
    for (const row of cells) {
      const padded = row.flatMap((cell, column): Segment[] => [cell, ' '.repeat(widths[column]! - widthOf(cell) + 2)]);
      await this.line(...padded);
    }
  }

  /** Prints a value as one JSON document. */
  async document(value: unknown): Promise<void> {
    this.clearProgress();
    await this.io.write(`${jsonText(value, 2)}\n`);
  }

  /** Prints a value as one line of JSON. */
  async jsonLine(value: unknown): Promise<void> {
    await this.io.write(`${jsonText(value)}\n`);
  }

  /**
   * Prints the result of a command that changes something: a sentence, or a JSON document.
   *
   * @param value the result for programs
   */
  async result(sentence: string, value: Readonly<Record<string, unknown>>): Promise<void> {
    await (this.isJson ? this.document(value) : this.line(sentence));
  }

  /** Writes a remark to stderr, where it does not disturb the output. */
  note(text: string): void {
    this.clearProgress();
    this.io.writeError(`${logText(text)}\n`);
  }

  /** Shows progress on stderr. The next line of output replaces it. */
  progress(text: string): void {
    if (!this.io.showsProgress) return;
    this.clearProgress();
    const shown = logText(text).slice(0, 79);
    this.progressWidth = shown.length;
    this.io.writeError(shown);
  }

  /** Removes the progress from the terminal. */
  clearProgress(): void {
    if (this.progressWidth > 0) this.io.writeError(`\r${' '.repeat(this.progressWidth)}\r`);
    this.progressWidth = 0;
  }

  private render(segment: Segment): string {
    if (typeof segment === 'string') return logText(segment);
    const [text, style] = segment;
    return this.io.hasColors ? `${STYLES[style]}${logText(text)}${RESET}` : logText(text);
  }
}

function widthOf(segment: Segment): number {
  return Array.from(logText(typeof segment === 'string' ? segment : segment[0])).length;
}

function shorten(segment: Segment): Segment {
  const cut = (text: string): string => (text.length > MAX_CELL ? `${text.slice(0, MAX_CELL - 3)}...` : text);
  return typeof segment === 'string' ? cut(segment) : [cut(segment[0]), segment[1]];
}

/** Returns an error as one line: its name, its code and its message. */
export function errorLine(error: Error): string {
  const { name, code, message } = errorFields(error);
  return `${name}${code === undefined ? '' : ` (${code})`}${message === '' ? '' : `: ${message}`}`;
}

/** Returns a decoded payload as one line. */
export function valueLine(value: unknown): string {
  return inspect(value, { depth: 4, breakLength: Number.POSITIVE_INFINITY, maxArrayLength: 20, maxStringLength: 200 });
}
