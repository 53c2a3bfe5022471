import type { Given } from './arguments.js';
import type { Connection } from './connection.js';
import type { ExitCode } from './exit-codes.js';
import type { Io } from './io.js';
import type { Printer } from './printer.js';

/** Objects with which a command does its work. */
export interface CommandContext {
  readonly given: Given;
  readonly io: Io;
  readonly printer: Printer;
  /** URL of the database; undefined when the user named none. */
  readonly databaseUrl: string | undefined;
  /** Name of the schema. */
  readonly schema: string;
  /**
   * Connects to the database, once. The connection closes when the command has ended.
   *
   * @throws CommandError when no database is named or it cannot be reached
   */
  readonly connect: () => Promise<Connection>;
}

/** Executes a command. */
export type Action = (context: CommandContext) => Promise<ExitCode>;
