/**
 * Settings that decide how the server formats values. With the defaults of some roles or databases,
 * numbers would lose digits.
 */
export const FORMATS = ['datestyle=ISO', 'extra_float_digits=1', 'array_nulls=on'];

/**
 * Longest wait of a statement for a lock. A run whose row is locked must not delay the runs that
 * are written by the same statement.
 */
const LOCK_TIMEOUT = '100ms';

/**
 * Sets the lock timeout inside a statement. Behind a pooler no setting lasts longer than a
 * transaction. The statement itself sets this one, without a round trip. PostgreSQL evaluates a
 * condition that refers to no row before it executes the rest of the statement, and so before it
 * requests a row lock.
 */
export const SET_LOCK_TIMEOUT = ` AND (SELECT set_config('lock_timeout', '${LOCK_TIMEOUT}', true)) IS NOT NULL`;

/**
 * Planner settings of the module's own connections: everything goes through an index. Hot
 * statements must leave the planner no choice. A fresh table has no statistics, and a named
 * statement keeps the plan of its first calls. A plan made for an empty table would scan the whole
 * of a full table for ever. `jit` would compile each plan, because a forbidden scan counts as
 * expensive. Behind a pooler these settings are missing, so the shape of the statements must ensure
 * index scans.
 */
const PLANNER = ['enable_seqscan', 'enable_hashjoin', 'enable_mergejoin', 'jit'].map((setting) => `${setting}=off`);

/**
 * Settings that the module's statements depend on, whatever the role or the database defaults to.
 */
const SESSION = ['client_min_messages=warning', 'default_transaction_isolation=read\\ committed'];

/** Settings of the pool's connections for the hot statements. */
export const POOL_SETTINGS = [...PLANNER, ...SESSION, ...FORMATS, `lock_timeout=${LOCK_TIMEOUT}`];

/**
 * Adds settings to the startup options of a connection. Later settings win over earlier ones.
 *
 * @param given options from the address or the application, such as `-c search_path=app`
 */
export function withSettings(given: string | undefined, settings: readonly string[]): string {
  return [given, ...settings.map((setting) => `-c ${setting}`)].filter(Boolean).join(' ');
}
