import type { Action } from '../action.js';
import type { ArgumentSpec, OptionSpec } from './argument-specs.js';

/** A command: its help, its options and its code. */
export interface CommandSpec {
  readonly name: string;
  readonly arguments: readonly ArgumentSpec[];
  /** Summary of the command in one line, for the list of commands. */
  readonly summary: string;
  /** Further paragraphs of the command's help. */
  readonly details: readonly string[];
  readonly options: Readonly<Record<string, OptionSpec>>;
  /** Examples: complete command lines after `npx nestjs-durable`. A test executes each of them. */
  readonly examples: readonly string[];
  /** Loads the code, so that `--help` and simple commands do not load everything. */
  readonly load: () => Promise<Action>;
}
