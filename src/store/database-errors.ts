import { WorkflowError } from '../core/errors/index.js';
import { StandbyError } from './standby.js';

/** Kinds of errors that a query rejects with, by what is to be done about them. */
export type DatabaseFault =
  /** The connection or the server is gone, or refuses for now: whether the statement took effect is unknown; repeat it. */
  | 'connection'
  /** Two transactions met: nothing took effect; repeat at once. */
  | 'conflict'
  /** Somebody holds a lock, on a row or on a table: nothing took effect. */
  | 'locked'
  /** The server cancelled the statement, mostly for a statement_timeout: it waited for a lock, or takes too long. */
  | 'cancelled'
  /** The database was reached and will not do it: no right, no table, wrong password. An administrator must act. */
  | 'refused'
  /** Something in the statement cannot be stored, now or ever. */
  | 'data';

const CONFLICTS = new Set(['40001', '40P01']);
/** Errors of this process while it wrote the values down for the wire. */
const UNWRITABLE = new Set(['ERR_OUT_OF_RANGE', 'ERR_INVALID_ARG_TYPE']);
/**
 * Classes of errors that the data themselves cause: data exceptions, violated constraints, too much
 * of something, casts; and errors that triggers and functions of the application raise.
 */
const DATA = /^(09|2[123]|38|39|44|54|P0|42804|42846|428C9|42P18)/;

/** Classes of errors that do not come from the values: constraints, and what triggers and functions of the application raise. */
const FORBIDDEN = /^(09|23|38|39|44|P0)/;

/** Tells whether a rule of the application refuses what could be stored otherwise: the rule may be removed. */
export function isForbidden(error: unknown): boolean {
  const code = codeOf(error);
  return code !== undefined && code.length === 5 && FORBIDDEN.test(code);
}

/** Classes of errors of access, and of a schema that is not there. */
const REFUSED = /^(28|3D|3F|42|0A|2F)/;

/** Errors of connections that never came to be: nothing was sent. */
const UNCONNECTED = new Set(['ECONNREFUSED', 'ENOTFOUND', 'EAI_AGAIN', 'EHOSTUNREACH', 'ENETUNREACH', 'ENOENT', 'EACCES']);
/** Errors that may come after the commit: a lost connection, a shutdown, a failure of the server or its disk. */
const AFTER_COMMIT = /^(08|57P01|57P02|58|XX)/;

/**
 * Sorts an error that a query rejected with. What is not known to come from the data is taken for the database's own trouble (a fail-over, a
 * rotated password, a full disk), which ends: a run must not fail for it.
 */
export function faultOf(error: unknown): DatabaseFault {
  // One that callers get has the driver's inside.
  if (error instanceof WorkflowError && error.cause !== undefined) return faultOf(error.cause);
  const code = codeOf(error);
  if (code === undefined) return 'connection';
  if (CONFLICTS.has(code)) return 'conflict';
  if (code === '55P03') return 'locked';
  if (code === '57014') return 'cancelled';
  if (UNWRITABLE.has(code)) return 'data';
  if (code.length !== 5) return 'connection';
  if (DATA.test(code)) return 'data';
  return REFUSED.test(code) ? 'refused' : 'connection';
}

/** Tells whether a statement that failed so may have taken effect all the same. */
export function mayHaveTakenEffect(error: unknown): boolean {
  const code = codeOf(error);
  if (code === undefined) return true;
  if (UNCONNECTED.has(code) || UNWRITABLE.has(code)) return false;
  return code.length !== 5 || AFTER_COMMIT.test(code);
}

/**
 * Tells whether a lock was waited for while the statement was at some row. PostgreSQL says then what
 * it was at; a lock on a whole table is asked for before.
 */
export function wasAtARow(error: unknown): boolean {
  return typeof error === 'object' && error !== null && typeof (error as { where?: unknown }).where === 'string';
}

function codeOf(error: unknown): string | undefined {
  const code = typeof error === 'object' && error !== null ? (error as { code?: unknown }).code : undefined;
  return typeof code === 'string' ? code : undefined;
}

/** Codes of Node for an address without a server behind it, for now. ENOENT: the socket of a server that has not started. */
const NO_ANSWER = /^(ECONN|EPIPE|ETIMEDOUT|EHOST|ENET|ENOTFOUND|EAI_|ENOENT|PASSWORD_UNAVAILABLE)/;

/** Codes of a server that starts, stops or is full, of a broken connection, and of transactions that met. */
const NOT_NOW = /^(57P0[123]|08|53|40)/;

/** A pooler's answers to a client that it will never let in; their code is that of a broken connection. */
const NEVER = /unsupported startup parameter|no such (database|user)|authentication failed|auth failed/i;

/**
 * Whether an error of a boot is likely to go away by itself: the server restarts, fails over or is full. Not so a wrong password, a missing database, a
 * missing right or a certificate that does not fit.
 */
export function isAway(error: unknown): boolean {
  if (typeof error !== 'object' || error === null) return false;
  if (error instanceof StandbyError) return true;
  const { code, message } = error as { code?: unknown; message?: unknown };
  const text = typeof message === 'string' ? message : '';
  // pg's own errors have no code.
  if (typeof code !== 'string') return /terminated|timeout/i.test(text);
  return code.length === 5 && /^[0-9A-Z]{5}$/.test(code) && !NO_ANSWER.test(code)
    ? NOT_NOW.test(code) && !NEVER.test(text)
    : NO_ANSWER.test(code);
}

/** Errors of the module's own connections while its database was away. */
const outages = new WeakSet<object>();

/** Remembers an error of the module's own connections, where the database is away. Other servers cause the same errors. */
export function noteOutage(error: unknown): void {
  if (isAway(error) && faultOf(error) === 'connection') outages.add(error as object);
}

/** Tells whether the module's own database was away when this error came. */
export function isOutage(error: unknown): boolean {
  return typeof error === 'object' && error !== null && outages.has(error);
}
