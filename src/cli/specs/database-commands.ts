import type { CommandSpec } from './command-spec.js';

/** Commands about the database. */
export const DATABASE_COMMANDS: readonly CommandSpec[] = [
  {
    name: 'migrate',
    arguments: [],
    summary: 'create the tables, or bring them up to date',
    details: [
      'Applies the migrations that the database lacks, in one transaction. Several processes may do so at the same time.',
      '--sql prints the SQL instead, for teams that review it: of the missing migrations, or of all without a database.',
    ],
    options: {
      'dry-run': { help: 'only name the migrations that would be applied' },
      sql: { help: 'only print the SQL that would be executed' },
    },
    examples: ['migrate', 'migrate --dry-run', 'migrate --sql'],
    load: async () => (await import('../commands/migrate.js')).migrate,
  },
  {
    name: 'doctor',
    arguments: [],
    summary: 'check the database, and say what to do',
    details: [
      'Checks the server, the schema, rights, settings, indexes, dead rows, stuck runs, leftover rows, clocks, poolers and notifications.',
      'Changes nothing. The exit code is 1 when there is an error; warnings do not count. docs/cli.md explains each code.',
    ],
    options: { all: { help: 'also show the checks that found nothing' } },
    examples: ['doctor', 'doctor --all', 'doctor --json'],
    load: async () => (await import('../commands/doctor.js')).doctor,
  },
];
