import { types } from 'node:util';

import { DatabaseUnavailableError, SerializationError, WorkflowConfigurationError, WorkflowError } from '../core/errors/index.js';
import { faultOf, mayHaveTakenEffect } from './database-errors.js';
import type { Database } from './database.js';

/** Error classes of data that cannot be stored: data exceptions, and exceeded limits. */
const UNSTORABLE = /^(22|54)/;

/**
 * Makes a view of a database whose errors are typed. Callers of the client get these errors, with
 * the driver's error as the `cause`.
 */
export function forCallers(database: Database): Database {
  const view = Object.create(database) as Database;
  const translated = <Method extends 'query' | 'read' | 'deliver' | 'transaction'>(method: Method): Database[Method] => {
    const call = database[method] as (...args: unknown[]) => Promise<unknown>;
    return (async (...args: unknown[]) => {
      try {
        return await call.apply(database, args);
      } catch (error) {
        throw toCallerError(error);
      }
    }) as Database[Method];
  };
  view.query = translated('query');
  view.read = translated('read');
  view.deliver = translated('deliver');
  view.transaction = translated('transaction');
  return view;
}

/** Turns a driver's error into an error of the package. Other errors stay unchanged. */
export function toCallerError(error: unknown): unknown {
  // Under Jest, Node's own errors belong to another realm: `instanceof Error` is false for them.
  if (!types.isNativeError(error) || error instanceof WorkflowError || error.name === 'TypeError') return error;
  const { message: detail } = error;
  switch (faultOf(error)) {
    case 'data':
      if (UNSTORABLE.test(String((error as { code?: unknown }).code)))
        return new SerializationError('a value of the call', detail, { cause: error });
      return new WorkflowConfigurationError(`The database refuses a row of the module's tables: ${detail}`, { cause: error });
    case 'refused':
      return new WorkflowConfigurationError(`The database refuses the statement: ${detail}. The role needs rights on the module's tables`, {
        cause: error,
      });
    default: {
      const mayHave = mayHaveTakenEffect(error);
      const effect = mayHave ? 'The call may have taken effect' : 'Nothing was written';
      return new DatabaseUnavailableError(`The database did not complete the call. ${effect}: ${detail}`, {
        cause: error,
        mayHaveTakenEffect: mayHave,
      });
    }
  }
}
