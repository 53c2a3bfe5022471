import { WorkflowError } from '../core/errors/index.js';
import { StandbyError } from './standby.js';

/** Kinds of errors that a query rejects with. Each kind asks for another reaction. */
export type DatabaseFault =
  /**
   * The connection or the server is lost, or the server refuses for now. Nobody knows whether the
   * statement took effect; the caller repeats the statement.
   */
  | 'connection'
  /** Two transactions conflicted. Nothing took effect; the caller repeats at once. */
  | 'conflict'
  /** Another transaction holds a lock on a row or on a table. Nothing took effect. */
  | 'locked'
  /**
   * The server cancelled the statement, usually because of a statement_timeout: the statement
   * waited for a lock or takes too long.
   */
  | 'cancelled'
  /**
   * The database answers and refuses permanently: a missing right, a missing table, a wrong
   * password. An administrator must act.
   */
  | 'refused'
  /** A value in the statement can never be stored. */
  | 'data';

const CONFLICTS = new Set(['40001', '40P01']);
/** Errors of this process while it encoded the values for the wire. */
const UNWRITABLE = new Set(['ERR_OUT_OF_RANGE', 'ERR_INVALID_ARG_TYPE']);
/**
 * Error classes that the data themselves cause: data exceptions, violated constraints, exceeded
 * limits and casts. They include errors that the application's triggers and functions raise.
 */
const DATA = /^(09|2[123]|38|39|44|54|P0|42804|42846|428C9|42P18)/;

/**
 * Error classes that do not come from the values: constraints, and errors that the application's
 * triggers and functions raise.
 */
const FORBIDDEN = /^(09|23|38|39|44|P0)/;

/**
 * True when a rule of the application refuses a value that could be stored otherwise. The
 * application may remove the rule.
 */
export function isForbidden(error: unknown): boolean {
  const code = codeOf(error);
  return code !== undefined && code.length === 5 && FORBIDDEN.test(code);
}

/** Error classes of access, and of a missing schema. */
const REFUSED = /^(28|3D|3F|42|0A|2F)/;

/** Errors of connections that were never established. Nothing was sent. */
const UNCONNECTED = new Set(['ECONNREFUSED', 'ENOTFOUND', 'EAI_AGAIN', 'EHOSTUNREACH', 'ENETUNREACH', 'ENOENT', 'EACCES']);
/**
 * Errors that may follow a commit: a lost connection, a shutdown, a failure of the server or its
 * disk.
 */
const AFTER_COMMIT = /^(08|57P01|57P02|58|XX)/;

/**
 * Classifies an error that a query rejected with. An error that does not clearly come from the data
 * counts as trouble of the database: a failover, a rotated password, a full disk. Such trouble
 * ends, so a run must not fail because of it.
 */
export function faultOf(error: unknown): DatabaseFault {
  // A typed error for callers contains the driver's error as its cause.
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

/** True when a statement that failed with this error may have taken effect. */
export function mayHaveTakenEffect(error: unknown): boolean {
  const code = codeOf(error);
  if (code === undefined) return true;
  if (UNCONNECTED.has(code) || UNWRITABLE.has(code)) return false;
  return code.length !== 5 || AFTER_COMMIT.test(code);
}

/**
 * True when the statement waited for a lock while it processed a row. PostgreSQL adds the row's
 * place to the error then. A statement requests a lock on a whole table before it reaches any row.
 */
export function wasAtARow(error: unknown): boolean {
  return typeof error === 'object' && error !== null && typeof (error as { where?: unknown }).where === 'string';
}

function codeOf(error: unknown): string | undefined {
  const code = typeof error === 'object' && error !== null ? (error as { code?: unknown }).code : undefined;
  return typeof code === 'string' ? code : undefined;
}

/**
 * Node's codes for an address that has no server at the moment. ENOENT is the missing socket of a
 * server that has not started.
 */
const NO_ANSWER = /^(ECONN|EPIPE|ETIMEDOUT|EHOST|ENET|ENOTFOUND|EAI_|ENOENT|PASSWORD_UNAVAILABLE)/;

/**
 * Codes of a server that starts, stops or is full, of a broken connection, and of conflicting
 * transactions.
 */
const NOT_NOW = /^(57P0[123]|08|53|40)/;

/**
 * A pooler's answers to a client that it will never admit. Their code is that of a broken
 * connection.
 */
const NEVER = /unsupported startup parameter|no such (database|user)|authentication failed|auth failed/i;

/**
 * True when an error at boot is likely to disappear by itself: the server restarts, fails over or
 * is full. False for a wrong password, a missing database, a missing right or a certificate that
 * does not fit.
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

/**
 * Remembers an error of the module's own connections when it means that the database is away. Other
 * servers of the application cause errors with the same codes.
 */
export function noteOutage(error: unknown): void {
  if (isAway(error) && faultOf(error) === 'connection') outages.add(error as object);
}

/** True when the module's own database was away when this error occurred. */
export function isOutage(error: unknown): boolean {
  return typeof error === 'object' && error !== null && outages.has(error);
}
