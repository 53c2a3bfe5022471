import { types } from 'node:util';

import { WorkflowConfigurationError } from '../core/errors/index.js';
import type { Pooler } from '../core/pooler.js';
import { textOfThrown } from '../core/thrown.js';
import type { Database } from '../store/database.js';
import { hasOwnSettings } from '../store/sql/connection-probes.js';
import type { ModuleSettings } from './settings.js';

const USE_POOLER = `set pooler: 'transaction', or connect to the server itself`;

/**
 * Checks that the pool's connections reach the server as the options say. A pooler that the options
 * do not name refuses the module's settings, or ignores them and later mixes up named statements.
 * An error at boot is clearer than these later errors.
 *
 * @throws WorkflowConfigurationError when the connections go through a pooler and the option
 *   `pooler` is not set
 */
export async function checkPool(database: Database, settings: ModuleSettings): Promise<void> {
  if (settings.pooler) return;
  if (await hasOwnSettings(database)) return;
  throw new WorkflowConfigurationError(`WorkflowModule connects through a pooler that ignores settings (PgBouncer?): ${USE_POOLER}`);
}

/** Creates the error for a boot that cannot succeed, with a hint at what may help. */
export function failedBoot(what: string, { pooler, autoMigrate }: ModuleSettings, cause: unknown): WorkflowConfigurationError {
  return new WorkflowConfigurationError(`WorkflowModule could not ${what}: ${describeError(cause)}${hintFor(cause, pooler, autoMigrate)}`, {
    cause,
  });
}

function hintFor(cause: unknown, pooler: Pooler | undefined, autoMigrate: boolean): string {
  if ((cause as { code?: unknown } | undefined)?.code === '42501') {
    const create =
      'Grant the role what it needs to create the schema, or run the SQL of migrationSql() yourself and set autoMigrate: false';
    return autoMigrate
      ? `. ${create}`
      : '. Grant the role USAGE on the schema, and SELECT, INSERT, UPDATE and DELETE on its tables: docs/operations.md has the SQL';
  }
  if ((cause as { code?: unknown } | undefined)?.code === '25006') {
    return '. The server is a standby, or the role may only read: name the primary, or a role that may write';
  }
  // PgBouncer refuses settings at the start of a connection with this text.
  if (!/unsupported startup parameter/.test(describeError(cause))) return '';
  if (!pooler) return `. This is a pooler such as PgBouncer: ${USE_POOLER}`;
  return '. The pooler takes no settings: leave them out of the connection (extra.options, statement_timeout, lock_timeout ...)';
}

/**
 * Returns the message of an error for a log line. An error whose own message says nothing is
 * described by the errors that caused it. Never throws.
 */
export function describeError(error: unknown): string {
  return textOfThrown(() => messageOf(error));
}

function messageOf(error: unknown): unknown {
  // In Jest, errors that Node creates are not instances of the global Error class.
  if (!types.isNativeError(error) && !(error instanceof Error)) return typeof error === 'string' ? error : typeof error;
  // A host name may have several addresses. If all connections fail, the error of Node has no
  // message of its own and contains one error per address.
  if ('errors' in error && Array.isArray(error.errors) && error.message === '') return error.errors.map(describeError).join('; ');
  // An error of `fetch` says only "fetch failed"; its cause says why.
  return error.message === 'fetch failed' && error.cause !== undefined ? `${error.message}: ${describeError(error.cause)}` : error.message;
}
