import type pg from 'pg';

/**
 * Begins a transaction under READ COMMITTED, whatever the role's or the database's default is. A
 * worker that takes over a dead worker's runs first deletes the dead worker's session, and then
 * selects the session's runs in a second statement. This statement must also see runs that were
 * committed between the two statements. Under REPEATABLE READ it would miss these runs, and they
 * would stay `running` for ever.
 */
const BEGIN = 'BEGIN ISOLATION LEVEL READ COMMITTED';

/** Executes `work` in a transaction on this connection, and gives the connection back. */
export async function inTransaction<T>(client: pg.PoolClient, work: (client: pg.PoolClient) => Promise<T>): Promise<T> {
  let broken: Error | undefined;
  try {
    await client.query(BEGIN);
    const value = await work(client);
    await client.query('COMMIT');
    return value;
  } catch (error) {
    try {
      await client.query('ROLLBACK');
    } catch (rollbackError) {
      broken = rollbackError as Error;
    }
    throw error;
  } finally {
    client.release(broken);
  }
}
