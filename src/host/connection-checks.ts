import { types } from 'node:util';

import { WorkflowConfigurationError } from '../core/errors/index.js';
import type { Pooler } from '../core/pooler.js';
import type { Database } from '../store/database.js';
import { hasOwnSettings } from '../store/sql/connection-probes.js';
import type { ModuleSettings } from './settings.js';

const USE_POOLER = `set pooler: 'transaction', or connect to the server itself`;

/**
 * Checks that the pool's connections are as the options say. A pooler that the options do not name
 * refuses our settings, or ignores them and later mixes up named statements: the boot is the better
 * time to say so.
 *
 * @throws WorkflowConfigurationError when the connections lead through a pooler and `pooler` does
 *   not say so
 */
export async function checkPool(database: Database, settings: ModuleSettings): Promise<void> {
  if (settings.pooler) return;
  if (await hasOwnSettings(database)) return;
  throw new WorkflowConfigurationError(`WorkflowModule connects through a pooler that ignores settings (PgBouncer?): ${USE_POOLER}`);
}

/** The error of a boot that cannot succeed, with a hint at what may help. */
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
  // What PgBouncer says to settings at the start of a connection.
  if (!/unsupported startup parameter/.test(describeError(cause))) return '';
  if (!pooler) return `. This is a pooler such as PgBouncer: ${USE_POOLER}`;
  return '. The pooler takes no settings: leave them out of the connection (extra.options, statement_timeout, lock_timeout ...)';
}

/** Returns the message of an error for one line of the log. */
export function describeError(error: unknown): string {
  // Jest has an Error of its own, and Node's are none there.
  if (!types.isNativeError(error) && !(error instanceof Error)) return typeof error === 'string' ? error : typeof error;
  // Node's connection errors to a name with several addresses carry their message inside.
  if ('errors' in error && Array.isArray(error.errors) && error.message === '') return error.errors.map(describeError).join('; ');
  // Of `fetch`, which says itself no more than that it failed.
  return error.message === 'fetch failed' && error.cause !== undefined ? `${error.message}: ${describeError(error.cause)}` : error.message;
}
