import { WorkflowError } from '../core/errors/index.js';
import { describeError } from '../host/connection-checks.js';
import { isAway } from '../store/database-errors.js';
import { CommandError } from './errors.js';
import { EXIT } from './exit-codes.js';

/** Creates the error for a migration that failed, with a hint at what may help. */
export function failedMigration(error: unknown, schema: string): unknown {
  if (error instanceof WorkflowError) return error;
  const { code } = error as { code?: unknown };
  const hint =
    code === '42501'
      ? `. The role needs the right to create schema "${schema}" or its tables: see "Roles and rights" in docs/operations.md, or let an administrator execute the output of migrate --sql`
      : code === '55P03'
        ? '. Another transaction holds a lock on a table: try again when it has ended'
        : '';
  const exitCode = isAway(error) ? EXIT.unavailable : EXIT.failed;
  const own = isAway(error) ? 'DATABASE_UNAVAILABLE' : 'MIGRATION_FAILED';
  return new CommandError(own, `the migration failed, and nothing was changed: ${describeError(error)}${hint}`, exitCode, { cause: error });
}
