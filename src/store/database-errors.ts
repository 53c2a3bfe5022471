/** What to do about an error of the database. */
export type DatabaseFault =
  /** The connection or the server is gone, or refuses for now: whether the statement took effect is unknown; repeat it. */
  | 'connection'
  /** Two transactions met: nothing took effect; repeat at once. */
  | 'conflict'
  /** Somebody holds a lock on a row: do without that row for now. */
  | 'locked'
  /** Something in the statement cannot be stored. */
  | 'data';

const CONFLICTS = new Set(['40001', '40P01']);
const LOCKED = new Set(['55P03']);
/** Read-only (a fail-over under way), cannot connect now, too many connections, and what an administrator or a crash does to us. */
const CONNECTION = new Set(['25006', '53300', '57P01', '57P02', '57P03', '57P05', '58030', '53100', '53200', '25P03', '26000']);

/** Sorts an error that a query rejected with. Errors without an SQLSTATE come from the socket. */
export function faultOf(error: unknown): DatabaseFault {
  const code = typeof error === 'object' && error !== null ? (error as { code?: unknown }).code : undefined;
  if (typeof code !== 'string' || !/^[0-9A-Z]{5}$/.test(code)) return 'connection';
  if (CONFLICTS.has(code)) return 'conflict';
  if (LOCKED.has(code)) return 'locked';
  if (CONNECTION.has(code) || code.startsWith('08')) return 'connection';
  return 'data';
}
