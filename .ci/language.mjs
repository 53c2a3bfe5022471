// Checks the mechanical part of the rules for comments in CONTRIBUTING.md: the width of comment
// lines, the first words of doc comments, and words that the field has a better term for.
//
// Usage: node .ci/language.mjs [PATH...]   (all TypeScript and JavaScript files without a path)
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import process from 'node:process';

const MAX_COLUMNS = 100;
const FORBIDDEN_OPENERS =
  /^(?:What|Of|Whether|Whoever|Whatever|Whose|Which|Who|Those|These|They|It|Its|That|The same|One that|To be|Where|When|How|So (?:long|much|many|often)|Beyond|Else)\b/;
const FORBIDDEN_WORDS =
  /\b(?:anew|in hand|lets? go of|c[oa]mes? upon|told of|tells? of|tell apart|heard? of|comes? to nothing|is none|whoever|so (?:long|often|many|much) (?:as|has|have)|goes on|look-up|time-out|dead-lock)\b/i;
// A long URL and a directive for a tool cannot be wrapped.
const DIRECTIVE = /^(?:\/\/|\/\*+|\*)\s*(?:oxlint-|eslint-|@ts-|istanbul |https?:)/;

const [, , ...paths] = process.argv;
const patterns = paths.length > 0 ? paths : ['*.ts', '*.mts', '*.mjs'];
const listed = execFileSync('git', ['ls-files', '--cached', '--others', '--exclude-standard', ...patterns], { encoding: 'utf8' });
const files = listed.split('\n').filter((file) => /\.m?[jt]s$/.test(file));

/** The comment lines of a file, each with the text that follows the comment's marker. */
function commentsOf(lines) {
  const comments = [];
  let isInBlock = false;
  for (const [index, line] of lines.entries()) {
    const code = line.trim();
    const isBlockStart = !isInBlock && code.startsWith('/*');
    if (isInBlock || isBlockStart || code.startsWith('//')) {
      const text = code.replace(/^(?:\/\*+|\*\/|\*|\/\/)\s?/, '').replace(/\s*\*\/$/, '');
      comments.push({ index, line, code, text, isDocStart: isBlockStart && code.startsWith('/**') });
    }
    if (isBlockStart || isInBlock) isInBlock = !code.includes('*/');
  }
  return comments;
}

function problemsOf(file) {
  const comments = commentsOf(readFileSync(file, 'utf8').split('\n'));
  const problems = comments.flatMap(({ index, line, code, text, isDocStart }, position) => {
    const found = [];
    if (line.length > MAX_COLUMNS && !DIRECTIVE.test(code)) found.push(`is ${line.length} columns wide, the limit is ${MAX_COLUMNS}`);
    const first = isDocStart && text === '' ? (comments[position + 1]?.text ?? '') : text;
    const opener = isDocStart && FORBIDDEN_OPENERS.exec(first);
    if (opener) found.push(`begins with "${opener[0]}": begin with a noun or a verb in the third person`);
    const word = FORBIDDEN_WORDS.exec(text);
    if (word) found.push(`says "${word[0]}": use the field's term, or name the thing`);
    return found.map((problem) => `${file}:${index + 1}: comment ${problem}`);
  });
  return { problems, count: comments.length };
}

const checked = files.map((file) => problemsOf(file));
const problems = checked.flatMap((each) => each.problems);
const count = checked.reduce((sum, each) => sum + each.count, 0);
if (count === 0) problems.push('no comment was checked');
for (const problem of problems) process.stdout.write(`${problem}\n`);
process.stdout.write(`${files.length} files, ${count} comment lines, ${problems.length} problems\n`);
process.exitCode = problems.length > 0 ? 1 : 0;
