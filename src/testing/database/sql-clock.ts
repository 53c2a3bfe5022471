/** Schema of the kit's own objects in a test's database. */
const SCHEMA = 'durable_testing';

/**
 * Search path of a test's database. PostgreSQL finds the clock's functions before its own functions
 * of the same name, so each statement and each default of a column reads the test's clock. The
 * schema of the kit is not the first one, in which unqualified names are created.
 */
export const SEARCH_PATH = `"$user", public, ${SCHEMA}, pg_catalog`;

/** Functions of PostgreSQL that return the current time and that the test's clock replaces. */
const FUNCTIONS = ['now', 'transaction_timestamp', 'statement_timestamp', 'clock_timestamp'];

/** Creates the clock of a test's database. */
export const CREATE_CLOCK = [
  `CREATE SCHEMA ${SCHEMA}`,
  `CREATE TABLE ${SCHEMA}.clock (id int PRIMARY KEY CHECK (id = 1), time timestamptz NOT NULL)`,
  `INSERT INTO ${SCHEMA}.clock VALUES (1, pg_catalog.now())`,
  `GRANT USAGE ON SCHEMA ${SCHEMA} TO PUBLIC`,
  `GRANT SELECT ON ${SCHEMA}.clock TO PUBLIC`,
  ...FUNCTIONS.map(
    (name) =>
      `CREATE FUNCTION ${SCHEMA}.${name}() RETURNS timestamptz LANGUAGE sql STABLE PARALLEL SAFE AS 'SELECT time FROM ${SCHEMA}.clock'`,
  ),
].join(';\n');

/**
 * Returns the statement that moves the clock to `$1`, in milliseconds since the epoch. Sessions,
 * subscriptions of listeners and declarations of schedules move with the clock: no process has died
 * while the test jumped.
 *
 * @param schemas schemas of the application's modules, as quoted identifiers
 */
export function moveClock(schemas: readonly string[]): string {
  const shift = `(SELECT by FROM moved)`;
  const shifted = schemas.flatMap((schema, index) => [
    `sessions${index} AS (UPDATE ${schema}.workflow_sessions SET heartbeat_at = heartbeat_at + ${shift}, expires_at = expires_at + ${shift})`,
    `schedules${index} AS (UPDATE ${schema}.workflow_schedules SET declared_until = declared_until + ${shift} WHERE declared_until IS NOT NULL)`,
    `subscriptions${index} AS (UPDATE ${schema}.workflow_subscriptions SET expires_at = expires_at + ${shift})`,
  ]);
  const moved = `moved AS (UPDATE ${SCHEMA}.clock SET time = to_timestamp($1::float8 / 1000)
  FROM (SELECT time AS before FROM ${SCHEMA}.clock) AS old RETURNING time - old.before AS by)`;
  return `WITH ${[moved, ...shifted].join(', ')} SELECT 1`;
}
