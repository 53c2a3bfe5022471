/** Maximum number of causes that are searched for an error of the server. */
const MAX_CAUSES = 5;

/** Form of a SQLSTATE. Each code of PostgreSQL has a digit; `EPIPE` of Node has none. */
const SQL_STATE = /^(?=\D*\d)[\dA-Z]{5}$/;

/**
 * Returns the SQLSTATE of an error, or of the nearest error in its chain of causes that has one.
 * Application code may have wrapped the driver's error.
 */
export function sqlStateOf(error: unknown): string | undefined {
  let current = error;
  for (let depth = 0; depth < MAX_CAUSES && typeof current === 'object' && current !== null; depth++) {
    const { code, sqlState, cause } = current as { code?: unknown; sqlState?: unknown; cause?: unknown };
    const state = [sqlState, code].find((each) => typeof each === 'string' && SQL_STATE.test(each));
    if (state !== undefined) return state as string;
    current = cause;
  }
  return undefined;
}
