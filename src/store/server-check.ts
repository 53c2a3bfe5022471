import { WorkflowConfigurationError } from '../core/errors/index.js';

/** The oldest major version of PostgreSQL that supports the schema and the statements. */
const OLDEST_MAJOR = 13;

/**
 * Encodings in which the database can store every text. SQL_ASCII stores the bytes of any text and
 * returns them unchanged.
 */
const ENCODINGS = ['UTF8', 'SQL_ASCII'];

/** Reads the server's version, and the name and encoding of the database. */
export const SERVER = `SELECT current_setting('server_version') AS version, current_setting('server_version_num')::int / 10000 AS major,
  current_database() AS database, pg_catalog.pg_encoding_to_char(d.encoding) AS encoding
FROM pg_catalog.pg_database d WHERE d.datname = current_database()`;

/** Properties of the server and its database that the module depends on. */
export interface Server {
  readonly version: string;
  readonly major: number | string;
  readonly database: string;
  readonly encoding: string;
}

/**
 * Checks that the module supports the server, and that its database can store every text. A
 * database in LATIN1, for example, could refuse a step's name or an error's message after the step
 * has been executed.
 *
 * @throws WorkflowConfigurationError that names the unsupported property and the required value
 */
export async function checkServer(connection: { query(sql: string): Promise<unknown> }): Promise<void> {
  const [server] = (await connection.query(SERVER)) as Server[];
  if (server) assertSupported(server);
}

/**
 * Checks the properties of a server.
 *
 * @throws WorkflowConfigurationError that names the unsupported property and the required value
 */
export function assertSupported(server: Server): void {
  if (Number(server.major) < OLDEST_MAJOR) {
    throw new WorkflowConfigurationError(`WorkflowModule needs PostgreSQL ${OLDEST_MAJOR} or later; this server is ${server.version}`);
  }
  if (!ENCODINGS.includes(server.encoding)) {
    throw new WorkflowConfigurationError(
      `WorkflowModule needs a database whose encoding is UTF8; "${server.database}" has ${server.encoding}, which cannot hold every text. ` +
        `Name another database in "connection" (CREATE DATABASE ... ENCODING 'UTF8' TEMPLATE template0)`,
    );
  }
}
