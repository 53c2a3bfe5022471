import type { DataSource } from 'typeorm';

interface Client {
  on(event: 'error', listener: () => void): unknown;
}

interface Pool {
  on?(event: 'connect', listener: (client: Client) => void): unknown;
}

const guarded = new WeakSet<Pool>();
const ignore = (): void => undefined;

/**
 * Adds a listener for errors to each new connection of the DataSource's pool. pg-pool removes its
 * own listener before TypeORM can add one. If the server ends the connection at that moment, for
 * example in a failover, the error would end the process. The next statement on the connection
 * fails all the same.
 */
export function guardConnections({ driver }: DataSource): void {
  const { master: pool } = driver as { master?: Pool };
  if (!pool?.on || guarded.has(pool)) return;
  guarded.add(pool);
  pool.on('connect', (client) => client.on('error', ignore));
}
