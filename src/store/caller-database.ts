import { types } from 'node:util';

import { DatabaseUnavailableError, SerializationError, WorkflowConfigurationError, WorkflowError } from '../core/errors/index.js';
import { faultOf, mayHaveTakenEffect } from './database-errors.js';
import type { Database, Statement } from './database.js';

/** Error classes for data that cannot be stored: data exceptions and exceeded limits. */
const UNSTORABLE = /^(22|54)/;

/** Error codes for a missing column, table, function or schema. */
const MISSING = /^(42703|42P01|42883|3F000)$/;

/**
 * Wraps a database for callers of the client. The wrapper rejects with the package's typed errors,
 * which have the driver's error as their `cause`.
 */
export function forCallers(database: Database): Database {
  const view = Object.create(database) as Database;
  const translated = <Method extends 'query' | 'read' | 'deliver' | 'transaction'>(method: Method): Database[Method] => {
    const call = database[method] as (...args: unknown[]) => Promise<unknown>;
    return (async (...args: unknown[]) => {
      try {
        return await call.apply(database, args);
      } catch (error) {
        throw toCallerError(error, isRead(method, args[0]) ? 'read' : 'write');
      }
    }) as Database[Method];
  };
  view.query = translated('query');
  view.read = translated('read');
  view.deliver = translated('deliver');
  view.transaction = translated('transaction');
  return view;
}

function isRead(method: keyof Database, statement: unknown): boolean {
  return method === 'read' || (method === 'query' && (statement as Statement).text('', '').startsWith('SELECT'));
}

/**
 * Turns a driver's error into an error of the package. Returns any other error unchanged.
 *
 * @param call `read` for a call that writes nothing: the error's message then does not mention
 * writes
 */
export function toCallerError(error: unknown, call: 'read' | 'write' = 'write'): unknown {
  // Under Jest, `instanceof Error` is false for Node's own errors, because the tests run in another
  // realm.
  if (!types.isNativeError(error) || error instanceof WorkflowError || error.name === 'TypeError') return error;
  const { message: detail } = error;
  switch (faultOf(error)) {
    case 'data':
      if (UNSTORABLE.test(String((error as { code?: unknown }).code)))
        return new SerializationError('a value of the call', detail, { cause: error });
      return new WorkflowConfigurationError(`The database refuses a row of the module's tables: ${detail}`, { cause: error });
    case 'refused':
      if (MISSING.test(String((error as { code?: unknown }).code))) {
        return new WorkflowConfigurationError(`The database has another schema than this version needs: ${detail}. Run the migrations`, {
          cause: error,
        });
      }
      return new WorkflowConfigurationError(`The database refuses the statement: ${detail}. The role needs rights on the module's tables`, {
        cause: error,
      });
    default: {
      const mayHave = mayHaveTakenEffect(error);
      const written = mayHave ? '. The call may have taken effect' : '. Nothing was written';
      return new DatabaseUnavailableError(`The database did not complete the call${call === 'read' ? '' : written}: ${detail}`, {
        cause: error,
        mayHaveTakenEffect: mayHave,
      });
    }
  }
}
