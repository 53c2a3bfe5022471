import { parseArgs, type ParseArgsConfig } from 'node:util';

import { usageError } from './errors.js';
import type { ArgumentSpec, OptionSpec } from './specs/argument-specs.js';
import { GLOBAL_OPTIONS } from './specs/global-options.js';

type Value = string | boolean | (string | boolean)[] | undefined;

/** Arguments and options that the user gave to a command. */
export class Given {
  constructor(
    readonly positionals: readonly string[],
    private readonly values: Readonly<Record<string, Value>>,
  ) {}

  /** Returns the same options with other arguments. */
  withPositionals(positionals: readonly string[]): Given {
    return new Given(positionals, this.values);
  }

  /** Returns the value of an option; undefined when the user left it out. */
  text(option: string): string | undefined {
    const value = this.values[option];
    return typeof value === 'string' ? value : undefined;
  }

  /** Returns the values of an option that may be repeated. */
  texts(option: string): string[] {
    const value = this.values[option];
    return Array.isArray(value) ? value.filter((each) => typeof each === 'string') : [];
  }

  /** True when the user gave the flag. */
  has(option: string): boolean {
    return this.values[option] !== undefined && this.values[option] !== false;
  }

  /**
   * Returns the value of a numeric option.
   *
   * @throws CommandError when the value is not a number
   */
  number(option: string): number | undefined {
    const text = this.text(option);
    if (text === undefined) return undefined;
    if (!/^\d+(\.\d+)?$/.test(text)) throw usageError(`--${option} must be a number, not ${JSON.stringify(text)}`);
    return Number(text);
  }
}

/**
 * Finds the first argument that is not an option, which is the name of the command.
 *
 * @param commands all commands, because the value of an option such as `--schema x` is no command
 */
export function commandName(
  argv: readonly string[],
  commands: readonly { readonly options: Readonly<Record<string, OptionSpec>> }[],
): string | undefined {
  const options = Object.assign({}, GLOBAL_OPTIONS, ...commands.map((command) => command.options)) as Record<string, OptionSpec>;
  return parseArgs({ args: [...argv], options: configOf(options), strict: false, allowPositionals: true }).positionals[0];
}

/**
 * Parses the arguments of a command.
 *
 * @throws CommandError when an option is unknown, lacks its value, or has one that it does not take
 */
export function parseGiven(argv: readonly string[], options: Readonly<Record<string, OptionSpec>>): Given {
  try {
    const { positionals, values } = parseArgs({
      args: [...argv],
      options: configOf({ ...GLOBAL_OPTIONS, ...options }),
      strict: true,
      allowPositionals: true,
    });
    return new Given(positionals, values);
  } catch (error) {
    // parseArgs adds hints in further sentences. The first one says which option is wrong.
    const [reason = ''] = (error as Error).message.split(/\.\s/);
    throw usageError(reason.replace(/\.$/, ''));
  }
}

/**
 * Checks the number of arguments beside the options.
 *
 * @throws CommandError when an argument is missing, or there are too many
 */
export function checkPositionals(expected: readonly ArgumentSpec[], positionals: readonly string[]): void {
  const missing = expected.filter(({ isRequired }) => isRequired)[positionals.length];
  if (missing) throw usageError(`${missing.name} is missing`);
  const surplus = positionals[expected.length];
  if (surplus !== undefined) throw usageError(`the argument ${JSON.stringify(surplus)} is not expected`);
}

function configOf(options: Readonly<Record<string, OptionSpec>>): NonNullable<ParseArgsConfig['options']> {
  return Object.fromEntries(
    Object.entries(options).map(([name, { value, isRepeatable, short }]) => [
      name,
      {
        type: value === undefined ? 'boolean' : 'string',
        multiple: isRepeatable === true,
        ...(short === undefined ? {} : { short }),
      } as const,
    ]),
  );
}
