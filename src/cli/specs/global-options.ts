import type { OptionSpec } from './argument-specs.js';

/** Options of every command. */
export const GLOBAL_OPTIONS = {
  'database-url': { value: 'URL', help: 'the database (default: DATABASE_URL, which other users of the machine cannot see)' },
  schema: { value: 'NAME', help: 'schema of the tables (default: durable)' },
  json: { help: 'print JSON instead of text' },
  verbose: { help: 'print the stack of an error' },
  help: { short: 'h', help: 'show the help of a command' },
  version: { help: 'print the version of the package' },
} as const satisfies Record<string, OptionSpec>;
