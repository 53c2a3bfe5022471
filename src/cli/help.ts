import { COMMANDS } from './specs/commands.js';
import { GLOBAL_OPTIONS } from './specs/global-options.js';
import type { CommandSpec } from './specs/command-spec.js';
import type { OptionSpec } from './specs/argument-specs.js';

/** Name with which users call the program. */
export const PROGRAM = 'npx nestjs-durable';

/** Width of the help, in columns. */
const COLUMNS = 100;

/** Returns the help of the program: all commands, and the options of every command. */
export function programHelp(): string {
  const commands = COMMANDS.map((command): [string, string] => [usageOf(command), command.summary]);
  return [
    `Usage: ${PROGRAM} COMMAND [OPTIONS]`,
    '',
    'Commands:',
    ...columns(commands),
    '',
    'Options of every command:',
    ...columns(Object.entries(GLOBAL_OPTIONS).map(([name, option]) => [labelOf(name, option), option.help])),
    '',
    `${PROGRAM} COMMAND --help shows the options and examples of a command.`,
    'Exit codes: 0 done, 1 failed, 2 wrong usage, 3 no such run, 4 not allowed in the status of the run,',
    '5 not confirmed, 6 database unavailable, 130 interrupted.',
    '',
  ].join('\n');
}

/** Returns the help of a command. */
export function commandHelp(command: CommandSpec): string {
  const options = Object.entries(command.options).map(([name, option]): [string, string] => [labelOf(name, option), option.help]);
  const common = Object.keys(GLOBAL_OPTIONS).map((name) => `--${name}`);
  return [
    `Usage: ${PROGRAM} ${usageOf(command)} [OPTIONS]`,
    '',
    `${command.summary[0]!.toUpperCase()}${command.summary.slice(1)}.`,
    ...command.details.flatMap((paragraph) => wrap(paragraph, '')),
    ...(options.length === 0 ? [] : ['', 'Options:', ...columns(options)]),
    '',
    `Also: ${common.join(', ')}.`,
    '',
    'Examples:',
    ...command.examples.map((example) => `  ${PROGRAM} ${example}`),
    '',
  ].join('\n');
}

function usageOf(command: CommandSpec): string {
  return [command.name, ...command.arguments.map(({ name, isRequired }) => (isRequired ? name : `[${name}]`))].join(' ');
}

function labelOf(name: string, { value, short }: OptionSpec): string {
  return `${short === undefined ? '' : `-${short}, `}--${name}${value === undefined ? '' : ` ${value}`}`;
}

/** Lays out two columns; the second is wrapped. */
function columns(rows: readonly (readonly [string, string])[]): string[] {
  const width = Math.max(...rows.map(([first]) => first.length)) + 4;
  return rows.flatMap(([first, second]) => {
    const [head = '', ...rest] = wrap(second, ' '.repeat(width));
    return [`  ${first}${' '.repeat(width - first.length - 2)}${head.trimStart()}`, ...rest];
  });
}

function wrap(text: string, indent: string): string[] {
  const lines: string[] = [];
  let line = indent;
  for (const word of text.split(' ')) {
    if (line !== indent && line.length + word.length + 1 > COLUMNS) {
      lines.push(line);
      line = indent;
    }
    line += line === indent ? word : ` ${word}`;
  }
  return [...lines, line];
}
