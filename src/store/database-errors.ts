import { WorkflowError } from '../core/errors/index.js';
import { StandbyError } from './standby.js';

/** Kinds of errors with which a query can reject. Callers react to each kind differently. */
export type DatabaseFault =
  /**
   * The connection or the server is lost, or the server temporarily refuses statements. The
   * statement may have taken effect, and the caller repeats it.
   */
  | 'connection'
  /**
   * Two transactions conflicted. The statement had no effect, and the caller repeats it at once.
   */
  | 'conflict'
  /** Another transaction holds a lock on a row or on a table. The statement had no effect. */
  | 'locked'
  /**
   * The server cancelled the statement, usually because of a statement_timeout: the statement
   * waited too long for a lock, or took too long itself.
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
/** Codes of errors that occur in this process while it encodes the values for the server. */
const UNWRITABLE = new Set(['ERR_OUT_OF_RANGE', 'ERR_INVALID_ARG_TYPE']);
/**
 * Error classes that the data can cause: data exceptions, violated constraints, exceeded limits and
 * casts. They include errors raised by the application's triggers and functions.
 */
const DATA = /^(09|2[123]|38|39|44|54|P0|42804|42846|428C9|42P18)/;

/**
 * Error classes of rules about values: constraints, and errors raised by the application's triggers
 * and functions. PostgreSQL itself could store the value.
 */
const FORBIDDEN = /^(09|23|38|39|44|P0)/;

/**
 * True when a constraint or a trigger refuses a value that PostgreSQL itself could store. The
 * application may remove the constraint or the trigger later.
 */
export function isForbidden(error: unknown): boolean {
  const code = codeOf(error);
  return code !== undefined && code.length === 5 && FORBIDDEN.test(code);
}

/** Error classes for missing rights, and for a missing database or schema. */
const REFUSED = /^(28|3D|3F|42|0A|2F)/;

/** Codes for a connection that was never established, so that no statement was sent. */
const UNCONNECTED = new Set(['ECONNREFUSED', 'ENOTFOUND', 'EAI_AGAIN', 'EHOSTUNREACH', 'ENETUNREACH', 'ENOENT', 'EACCES']);
/**
 * Error classes that a client may get although the server has committed: a lost connection, a
 * shutdown, or a failure of the server or its disk.
 */
const AFTER_COMMIT = /^(08|57P01|57P02|58|XX)/;

/**
 * Classifies an error with which a query rejected. An error that the data did not clearly cause
 * counts as a problem of the database, such as a failover, a rotated password or a full disk. Such
 * problems pass, so they must not make a run fail.
 */
export function faultOf(error: unknown): DatabaseFault {
  // An error of this package wraps the driver's error as its cause: see caller-database.ts.
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
 * True when the statement waited for the lock of a row. PostgreSQL then adds the row's position to
 * the error. A statement locks whole tables before it reads any row, so a wait for a table lock has
 * no position.
 */
export function wasAtARow(error: unknown): boolean {
  return typeof error === 'object' && error !== null && typeof (error as { where?: unknown }).where === 'string';
}

function codeOf(error: unknown): string | undefined {
  const code = typeof error === 'object' && error !== null ? (error as { code?: unknown }).code : undefined;
  return typeof code === 'string' ? code : undefined;
}

/**
 * Codes of Node for an address at which no server answers at the moment. ENOENT means that a
 * server's Unix socket does not exist, because the server has not started.
 */
const NO_ANSWER = /^(ECONN|EPIPE|ETIMEDOUT|EHOST|ENET|ENOTFOUND|EAI_|ENOENT|PASSWORD_UNAVAILABLE)/;

/**
 * Error codes for a server that is starting, stopping or full, for a broken connection, and for
 * conflicting transactions.
 */
const NOT_NOW = /^(57P0[123]|08|53|40)/;

/**
 * Messages of a pooler that will never admit this client. The pooler sends them with the code of a
 * broken connection, so only the text shows the difference.
 */
const NEVER = /unsupported startup parameter|no such (database|user)|authentication failed|auth failed/i;

/**
 * Messages of pg and TypeORM for a connection that was lost. TypeORM releases the query runner of
 * such a connection, and then refuses further queries.
 */
const LOST = /terminated|timeout|not queryable|already released/i;

/**
 * True when an error at boot is likely to disappear by itself, because the server restarts, fails
 * over or is full. False for a wrong password, a missing database, a missing right or an invalid
 * certificate.
 */
export function isAway(error: unknown): boolean {
  if (typeof error !== 'object' || error === null) return false;
  if (error instanceof StandbyError) return true;
  const { code, message } = error as { code?: unknown; message?: unknown };
  const text = typeof message === 'string' ? message : '';
  // Errors that pg and TypeORM create themselves have no code, so only their text shows the reason.
  if (typeof code !== 'string') return LOST.test(text);
  return code.length === 5 && /^[0-9A-Z]{5}$/.test(code) && !NO_ANSWER.test(code)
    ? NOT_NOW.test(code) && !NEVER.test(text)
    : NO_ANSWER.test(code);
}

/** Errors that the module's own connections caused while the module's database was away. */
const outages = new WeakSet<object>();

/**
 * Remembers an error of the module's own connections when it means that the module's database is
 * away. The error code alone does not show which database is away: other servers of the application
 * cause errors with the same codes.
 */
export function noteOutage(error: unknown): void {
  if (isAway(error) && faultOf(error) === 'connection') outages.add(error as object);
}

/** True when this error occurred because the module's own database was away. */
export function isOutage(error: unknown): boolean {
  return typeof error === 'object' && error !== null && outages.has(error);
}
