/** Address of a database, as the settings of a connection have it. */
export interface DatabaseAddress {
  readonly host: string | undefined;
  readonly port: number | undefined;
  readonly database: string | undefined;
}

/**
 * Returns the name of a database for a log line, without the user and the password.
 *
 * @example
 * databaseLabel({ host: 'db', port: 5432, database: 'app' }); // 'database "app" at db:5432'
 */
export function databaseLabel({ host = 'localhost', port = 5432, database = '' }: DatabaseAddress): string {
  if (host.startsWith('/')) return `database "${database}" at the socket ${host}`;
  return `database "${database}" at ${host.includes(':') ? `[${host}]` : host}:${port}`;
}
