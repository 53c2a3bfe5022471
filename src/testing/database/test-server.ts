import type pg from 'pg';

import { WorkflowConfigurationError } from '../../core/errors/index.js';
import { Limiter } from '../../core/limiter.js';
import { clearTimeout, setTimeout } from '../../core/timers.js';
import { startSharedPostgres } from '../../embedded/shared-server.js';
import type { EmbeddedPostgres } from '../../embedded/index.js';
import { OwnClient } from '../../store/own-client.js';
import { DATABASE_PREFIX, dropLeftovers, lockSpaceOf } from './leftover-databases.js';

/**
 * Milliseconds for which a process keeps an embedded server that no test uses. The next file of
 * tests need not start the server again.
 */
const LINGER_MS = 3_000;

/** Server on which the tests of this process have their databases. */
export interface TestServer {
  /** URL of a database of the server, for connections that create databases. */
  readonly url: string;
  /**
   * Connection that creates and drops databases. While it holds a database's advisory lock, other
   * processes see that the database is in use.
   */
  readonly admin: pg.Client;
  /** Id of the database to which `admin` is connected. The locks belong to that database. */
  readonly lockSpace: string;
  /** Lets one caller at a time use `admin`, because a client executes one query at a time. */
  readonly turns: Limiter;
  readonly embedded: EmbeddedPostgres | undefined;
}

let current: Promise<TestServer> | undefined;
let users = 0;
let lingering: NodeJS.Timeout | undefined;

/**
 * Returns the server of `DATABASE_URL`, or else the embedded server that all tests of a project
 * share. The caller calls `releaseServer` once.
 *
 * @throws WorkflowConfigurationError when the server cannot be used
 */
export async function acquireServer(): Promise<TestServer> {
  clearTimeout(lingering);
  users++;
  current ??= start();
  try {
    const server = await current;
    setReference(server, 'ref');
    return server;
  } catch (error) {
    users--;
    current = undefined;
    throw error;
  }
}

/** Ends one use of the server. The last use closes the connection to the server after a pause. */
export async function releaseServer(): Promise<void> {
  users--;
  if (users > 0) return;
  const server = await current;
  if (users > 0 || !server) return;
  setReference(server, 'unref');
  lingering = setTimeout(() => void leave(), LINGER_MS).unref();
}

async function start(): Promise<TestServer> {
  const given = process.env['DATABASE_URL'];
  const embedded = given ? undefined : await startSharedPostgres();
  const url = given || embedded!.url;
  const admin = new OwnClient({ connectionString: url, application_name: 'nestjs-durable-testing' });
  try {
    await admin.connect();
    const lockSpace = await lockSpaceOf(admin);
    await dropLeftovers(admin, `${DATABASE_PREFIX}${lockSpace}_`);
    return { url, admin, lockSpace, turns: new Limiter(1), embedded };
  } catch (cause) {
    await admin.end().catch(() => undefined);
    await embedded?.stop().catch(() => undefined);
    const where = given ? 'the server of DATABASE_URL' : 'the embedded server';
    throw new WorkflowConfigurationError(`WorkflowTest cannot use ${where}: ${(cause as Error).message}`, { cause });
  }
}

async function leave(): Promise<void> {
  if (users > 0 || !current) return;
  const left = current;
  current = undefined;
  const { admin, embedded } = await left;
  await admin.end().catch(() => undefined);
  await embedded?.stop().catch(() => undefined);
}

/** Lets the connection keep the process alive (`ref`), or not, as between two tests (`unref`). */
function setReference({ admin }: TestServer, how: 'ref' | 'unref'): void {
  const { stream } = (admin as unknown as { connection: { stream: { ref(): void; unref(): void } } }).connection;
  stream[how]();
}
