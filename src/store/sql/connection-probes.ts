import type { Database, Statement } from '../database.js';

const NOTIFY: Statement = { name: 'durable_probe_notify', text: () => 'SELECT pg_notify($1, $2)' };

/**
 * Sends a notification through the pool. The caller then tests whether another connection that
 * listens on the channel receives the notification.
 */
export async function notifyByPool(database: Database, channel: string, payload: string): Promise<void> {
  await database.query(NOTIFY, [channel, payload]);
}

const CLOCK: Statement = { name: 'durable_probe_clock', text: () => 'SELECT extract(epoch FROM now())::float8 * 1000' };

/** Reads the server's clock, in milliseconds since the epoch. */
export async function readClock(database: Database): Promise<number> {
  const [row] = await database.query<[number]>(CLOCK, []);
  return row![0];
}

const RECOVERY: Statement = { name: 'durable_probe_recovery', text: () => 'SELECT pg_catalog.pg_is_in_recovery()' };

/** True when the server is a standby, which accepts no writes. */
export async function isInRecovery(database: Database): Promise<boolean> {
  const [row] = await database.query<[boolean]>(RECOVERY, []);
  return row![0];
}

const SETTING: Statement = {
  name: 'durable_probe_setting',
  text: () => `SELECT current_setting('enable_mergejoin'), current_setting('lock_timeout')`,
};

/**
 * True when the pool's connections have the settings that they requested at startup. A pooler may
 * have dropped these settings.
 */
export async function hasOwnSettings(database: Database): Promise<boolean> {
  const [row] = await database.query<[string, string]>(SETTING, []);
  return row![0] === 'off' && row![1] !== '0';
}
