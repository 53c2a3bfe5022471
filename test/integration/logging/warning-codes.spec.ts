import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

import { describe, expect, it } from '@jest/globals';

import { WARNING_CODES } from '../../../src/core/warning-codes.js';

const TABLE = join('src', 'core', 'warning-codes.ts');

const files = readdirSync('src', { recursive: true, encoding: 'utf8' })
  .map((file) => join('src', file))
  .filter((file) => file.endsWith('.ts') && !file.endsWith('.spec.ts') && file !== TABLE);
/** Source text in which texts that are concatenated over several lines are one text. */
const source = files.map((file) => readFileSync(file, 'utf8').replaceAll(/['`] \+\n\s*['`]/g, '')).join('\n');

const page = readFileSync('docs/warnings.md', 'utf8');
const sections = new Map(
  page
    .split(/^### /m)
    .slice(1)
    .map((text) => [text.slice(0, text.indexOf('\n')), text]),
);

describe('the codes of warnings', () => {
  it('are the headings of docs/warnings.md, each once', () => {
    const headings = [...page.matchAll(/^### (.*)$/gm)].map(([, heading]) => heading!);
    const sorted = (codes: readonly string[]): string[] => codes.toSorted((a, b) => a.localeCompare(b));
    expect(sorted(headings)).toEqual(sorted(WARNING_CODES));
  });

  it('are all used', () => {
    expect(WARNING_CODES.filter((code) => !source.includes(`'${code}'`))).toEqual([]);
  });

  it('each have a line, a cause and a remedy', () => {
    const isComplete = (text: string): boolean => /^> /m.test(text) && text.includes('**Cause:**') && text.includes('**Remedy:**');
    expect([...sections].filter(([, text]) => !isComplete(text)).map(([code]) => code)).toEqual([]);
  });

  it('have lines in docs/warnings.md that the code writes', () => {
    const lines = [...page.matchAll(/^> (.*)$/gm)].map(([, line]) => line!).filter((line) => !line.startsWith('('));
    // Names, numbers and punctuation stand between the parts, which the code may write one by one.
    const parts = lines.flatMap((line) => line.split(/…|[.:,](?: |$)/)).map((part) => part.trim());
    const shown = parts.filter((part) => /\w{3}/.test(part));
    expect(shown.length).toBeGreaterThan(WARNING_CODES.length);
    expect(shown.filter((part) => !source.includes(part) && !source.includes(part.replaceAll('`', '\\`')))).toEqual([]);
  });
});
