/**
 * Settings of the format in which the server sends values. With the defaults of some roles or
 * databases, numbers would lose digits.
 */
export const FORMATS = ['datestyle=ISO', 'extra_float_digits=1', 'array_nulls=on'];

/**
 * Longest time that a statement waits for a lock. One statement writes many runs, and a run with a
 * locked row must not delay the others.
 */
const LOCK_TIMEOUT = '100ms';

/**
 * Condition with which a statement sets its own lock timeout. Behind a pooler, a setting lasts for
 * one transaction only, and a separate SET would cost a round trip. PostgreSQL evaluates a
 * condition that refers to no row before the rest of the statement, and so before it locks any row.
 */
export const SET_LOCK_TIMEOUT = ` AND (SELECT set_config('lock_timeout', '${LOCK_TIMEOUT}', true)) IS NOT NULL`;

/**
 * Planner settings of the module's own connections: every frequent statement must use indexes. A
 * new table has no statistics, and a named statement keeps the plan of its first calls. A plan made
 * for an empty table would read the whole table each time, even after the table has grown. `jit` is
 * off, because PostgreSQL compiles expensive plans, and a plan with a scan that is turned off
 * counts as expensive. Behind a pooler these settings are missing. There, PostgreSQL uses indexes
 * because of how the statements are written.
 */
const PLANNER = ['enable_seqscan', 'enable_hashjoin', 'enable_mergejoin', 'jit'].map((setting) => `${setting}=off`);

/**
 * Settings that the module's statements need, because the role or the database may have other
 * defaults.
 */
const SESSION = ['client_min_messages=warning', 'default_transaction_isolation=read\\ committed'];

/**
 * Makes the server keep one plan for each named statement. PostgreSQL would otherwise plan the
 * claim at every call, because it estimates a plan for known values to be cheaper. The frequent
 * statements leave the planner no choice, so one plan fits all values.
 */
const ONE_PLAN = 'plan_cache_mode=force_generic_plan';

/** Settings of the pool's connections, which execute the frequent statements. */
export const POOL_SETTINGS = [...PLANNER, ...SESSION, ...FORMATS, ONE_PLAN, `lock_timeout=${LOCK_TIMEOUT}`];

/**
 * Adds settings to the startup options of a connection. A later setting wins over an earlier one.
 *
 * @param given options from the address or the application, such as `-c search_path=app`
 */
export function withSettings(given: string | undefined, settings: readonly string[]): string {
  return [given, ...settings.map((setting) => `-c ${setting}`)].filter(Boolean).join(' ');
}
