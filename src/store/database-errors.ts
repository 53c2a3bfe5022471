/** What to do about an error of the database. */
export type DatabaseFault =
  /** The connection or the server is gone, or refuses for now: whether the statement took effect is unknown; repeat it. */
  | 'connection'
  /** Two transactions met: nothing took effect; repeat at once. */
  | 'conflict'
  /** Somebody holds a lock on a row: do without that row for now. */
  | 'locked'
  /** The database was reached and will not do it: no right, no table, wrong password. An administrator must act. */
  | 'refused'
  /** Something in the statement cannot be stored, now or ever. */
  | 'data';

const CONFLICTS = new Set(['40001', '40P01']);
/** What this process found while it wrote the values down for the wire. */
const UNWRITABLE = new Set(['ERR_OUT_OF_RANGE', 'ERR_INVALID_ARG_TYPE']);
/** A lock that was not had in time, also where a role's statement_timeout is shorter than our lock_timeout. */
const LOCKED = new Set(['55P03', '57014']);
/** Classes of errors that the data themselves cause: data exceptions, violated constraints, too much of something; and casts. */
const DATA = /^(2[123]|54|42804|42846|428C9|42P18)/;

/** Classes of errors of access, and of a schema that is not there. */
const REFUSED = /^(28|3D|3F|42|0A|2F)/;

/**
 * Sorts an error that a query rejected with. What is not known to come from the data is taken for the database's own trouble (a fail-over, a
 * rotated password, a full disk), which ends: a run must not fail for it.
 */
export function faultOf(error: unknown): DatabaseFault {
  const code = typeof error === 'object' && error !== null ? (error as { code?: unknown }).code : undefined;
  if (typeof code !== 'string') return 'connection';
  if (CONFLICTS.has(code)) return 'conflict';
  if (LOCKED.has(code)) return 'locked';
  if (UNWRITABLE.has(code)) return 'data';
  if (code.length !== 5) return 'connection';
  if (DATA.test(code)) return 'data';
  return REFUSED.test(code) ? 'refused' : 'connection';
}
