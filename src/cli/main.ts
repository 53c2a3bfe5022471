import { DEFAULT_SCHEMA } from '../store/schema.js';
import { checkPositionals, commandName, parseGiven, type Given } from './arguments.js';
import { failureOf, stackOf, usageError } from './errors.js';
import { EXIT, type ExitCode } from './exit-codes.js';
import { commandHelp, PROGRAM, programHelp } from './help.js';
import type { Io } from './io.js';
import { jsonText } from './json.js';
import { logText } from '../core/log-text.js';
import { Printer } from './printer.js';
import type { CommandContext } from './action.js';
import type { CommandSpec } from './specs/command-spec.js';
import { COMMANDS } from './specs/commands.js';

/**
 * Executes a command line. Never rejects: an error is one line on stderr.
 *
 * @param argv the arguments after the name of the program
 */
export async function main(argv: readonly string[], io: Io): Promise<ExitCode> {
  const wants = (flag: string): boolean => argv.includes(flag);
  let command: CommandSpec | undefined;
  try {
    const name = commandName(argv, COMMANDS);
    if (name === undefined) return await withoutCommand(argv, io);
    command = COMMANDS.find((each) => each.name === name);
    if (!command) throw usageError(`there is no command ${JSON.stringify(name)}: ${PROGRAM} --help lists the commands`);
    return await execute(command, argv, io);
  } catch (error) {
    const { code, message, exitCode } = failureOf(error, new Set(Object.keys(command?.options ?? {})));
    const line = wants('--json') ? jsonText({ error: { code, message } }) : `nestjs-durable: ${code}: ${logText(message)}`;
    io.writeError(`${line}\n`);
    if (wants('--verbose')) io.writeError(`${stackOf(error)}\n`);
    return exitCode;
  }
}

async function withoutCommand(argv: readonly string[], io: Io): Promise<ExitCode> {
  const given = parseGiven(argv, {});
  if (given.has('version')) {
    await io.write(`${io.version}\n`);
    return EXIT.ok;
  }
  if (given.has('help')) {
    await io.write(programHelp());
    return EXIT.ok;
  }
  io.writeError(programHelp());
  return EXIT.usage;
}

async function execute(command: CommandSpec, argv: readonly string[], io: Io): Promise<ExitCode> {
  const parsed = parseGiven(argv, command.options);
  if (parsed.has('help')) {
    await io.write(commandHelp(command));
    return EXIT.ok;
  }
  if (parsed.has('version')) return withoutCommand(['--version'], io);
  const [, ...positionals] = parsed.positionals;
  checkPositionals(command.arguments, positionals);
  const { given, close, ...context } = await contextOf(parsed.withPositionals(positionals), io);
  const action = await command.load();
  try {
    return await action({ given, ...context });
  } finally {
    context.printer.clearProgress();
    await close();
  }
}

async function contextOf(given: Given, io: Io): Promise<CommandContext & { close: () => Promise<void> }> {
  const databaseUrl = given.text('database-url') ?? io.environment['DATABASE_URL'];
  const { Connection, schemaOf } = await import('./connection.js');
  const schema = schemaOf(given.text('schema') ?? DEFAULT_SCHEMA);
  const printer = new Printer(io, given.has('json'));
  let opened: ReturnType<typeof Connection.open> | undefined;
  return {
    given,
    io,
    printer,
    databaseUrl: databaseUrl === '' ? undefined : databaseUrl,
    schema,
    connect: () => (opened ??= Connection.open(databaseUrl, schema, (line) => printer.note(line))),
    close: async () => {
      const connection = await opened?.catch(() => undefined);
      await connection?.close();
    },
  };
}
