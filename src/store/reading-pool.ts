import pg from 'pg';

import { QueryTimeoutError } from '../core/errors/index.js';
import { resolveSettings } from './connection-settings.js';
import { OwnClient, type OwnClientSettings } from './own-client.js';
import { FORMATS, withSettings } from './startup-options.js';

/**
 * Number of connections. More would not make queries faster, and would take capacity from the
 * workers.
 */
const CONNECTIONS = 2;

/**
 * Milliseconds that a query may take. The limit is the time that a person is willing to wait, and
 * that vacuum can afford a held snapshot.
 */
const QUERY_TIMEOUT_MS = 15_000;

const ignore = (): void => undefined;

/**
 * Connections for queries that may take long: listings, counts, reports. They are separate from
 * those of the journal, so that a slow query never delays a start or a step. They also leave the
 * planner free: the settings of the hot statements (database.ts) would walk an index for every row
 * of a count. The first query opens them, and they close when idle.
 */
export class ReadingPool {
  private readonly pool: pg.Pool;
  private readonly clients = new Set<pg.PoolClient>();

  /**
   * Statements that begin each transaction behind a pooler, where connections cannot keep settings.
   */
  private readonly preamble: string | undefined;

  constructor(
    given: OwnClientSettings,
    pooler: 'transaction' | undefined,
    private readonly timeoutMs = QUERY_TIMEOUT_MS,
  ) {
    const session = [
      `statement_timeout=${timeoutMs}`,
      // One query uses one processor of the server.
      'max_parallel_workers_per_gather=0',
      'jit=off',
      'client_min_messages=warning',
    ];
    if (pooler) this.preamble = ['BEGIN READ ONLY', ...session.map((setting) => `SET LOCAL ${setting}`)].join('; ');
    const settings = resolveSettings(given);
    const options = pooler ? undefined : withSettings(settings.options, [...session, ...FORMATS, 'default_transaction_read_only=on']);
    const own: OwnClientSettings & pg.PoolConfig = {
      application_name: 'nestjs-durable',
      ...settings,
      ...(options === undefined ? {} : { options }),
      ...(given.refusals === undefined ? {} : { refusals: given.refusals }),
      Client: OwnClient,
      // A caller that finds both connections busy waits until one is free.
      connectionTimeoutMillis: timeoutMs + 5_000,
      // A vanished server cannot report that the time is over.
      query_timeout: timeoutMs + 5_000,
      max: CONNECTIONS,
      idleTimeoutMillis: 10_000,
      allowExitOnIdle: true,
    };
    this.pool = new pg.Pool(own);
    // As in database.ts, an idle connection that dies must not end the process.
    this.pool.on('error', ignore);
    this.pool.on('connect', (client) => this.clients.add(client));
    this.pool.on('remove', (client) => this.clients.delete(client));
  }

  /**
   * Executes a query. The statement has no name, so PostgreSQL plans it for these values, and its
   * text may vary.
   *
   * @throws QueryTimeoutError
   */
  async query<Row extends unknown[]>(text: string, values: readonly unknown[]): Promise<Row[]> {
    try {
      return this.preamble === undefined ? await ask(this.pool, text, values) : await this.queryPooled(this.preamble, text, values);
    } catch (error) {
      throw (error as { code?: unknown }).code === '57014' ? new QueryTimeoutError(this.timeoutMs, { cause: error }) : error;
    }
  }

  private async queryPooled<Row extends unknown[]>(preamble: string, text: string, values: readonly unknown[]): Promise<Row[]> {
    const client = await this.pool.connect();
    client.on('error', ignore);
    let broken = true;
    try {
      await client.query(preamble);
      const rows = await ask<Row>(client, text, values);
      await client.query('COMMIT');
      broken = false;
      return rows;
    } finally {
      client.removeListener('error', ignore);
      // A failed transaction is discarded with its connection.
      client.release(broken);
    }
  }

  /** Ends every connection, also those that wait for an answer. */
  async close(): Promise<void> {
    const ended = this.pool.end();
    for (const client of this.clients) void (client as unknown as pg.Client).end().catch(ignore);
    await ended;
  }
}

async function ask<Row extends unknown[]>(client: pg.Pool | pg.PoolClient, text: string, values: readonly unknown[]): Promise<Row[]> {
  const result = await client.query<Row>({ text, values: [...values], rowMode: 'array' });
  return result.rows;
}
