import { WorkflowError } from '../core/errors/index.js';
import { faultOf } from '../store/database-errors.js';
import type { Kit } from './kit.js';

/**
 * Converts errors of the database into errors of the kit. Inside a replay, the runtime would take
 * an error without a status for the workflow's own, and would fail the run.
 */
export function guard<Args extends unknown[], T>(kit: Kit, work: (...args: Args) => Promise<T>): (...args: Args) => Promise<T> {
  return async (...args) => {
    try {
      return await work(...args);
    } catch (error) {
      throw convert(kit, error);
    }
  };
}

function convert(kit: Kit, error: unknown): unknown {
  if (!(error instanceof Error)) return error;
  if (Object.hasOwn(kit.errors, error.name) || error.name === 'AttributeValidationError') return error;
  const status = isOfCaller(error) ? 400 : 503;
  const text =
    status === 400 ? `the World cannot store this: ${error.message}` : `the database of the World does not answer: ${error.message}`;
  return Object.assign(new kit.errors.WorkflowWorldError(text, { status }), { cause: error });
}

/**
 * True for a value that can never be stored, and for a value of a type that the World does not
 * expect.
 */
function isOfCaller(error: Error): boolean {
  if (error instanceof WorkflowError && error.cause === undefined) return false;
  const { code } = error as { code?: unknown };
  if (code === undefined) return error instanceof TypeError || error instanceof RangeError || error instanceof SyntaxError;
  return faultOf(error) === 'data';
}
