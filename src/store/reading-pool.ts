import { performance } from 'node:perf_hooks';

import pg from 'pg';

import { QueryTimeoutError } from '../core/errors/index.js';
import { resolveSettings } from './connection-settings.js';
import { OwnClient, type OwnClientSettings } from './own-client.js';
import { FORMATS, withSettings } from './startup-options.js';

/**
 * Default number of connections. More connections would not speed up a query, and would take the
 * server's capacity from the workers.
 */
const CONNECTIONS = 2;

/**
 * Milliseconds that a query may take. People do not wait longer, and while a query runs, its
 * snapshot prevents vacuum from removing dead rows.
 */
const QUERY_TIMEOUT_MS = 15_000;

/** Properties in which a reading pool may differ from the default one. */
export interface ReadingPoolOptions {
  /** Milliseconds that a query may take. (default: 15,000) */
  readonly timeoutMs?: number;
  /** Maximum number of connections. (default: 2) */
  readonly connections?: number;
  /**
   * Checks each new connection before its first query. The pool closes a connection for which the
   * check rejects, and the query rejects with the same error. (default: no check)
   */
  readonly verify?: (client: pg.PoolClient) => Promise<void>;
}

/** Message with which pg's pool rejects a caller that has waited too long for a free connection. */
const NO_FREE_CONNECTION = 'timeout exceeded when trying to connect';

const ignore = (): void => undefined;

/**
 * Pool for queries that may take long, such as listings, counts and reports. Its connections are
 * separate from those of the journal, so that a slow query never delays a start or a step. They
 * also lack the planner settings of frequent statements (startup-options.ts), which would make a
 * count visit every row through an index. The connections open with the first query and close when
 * idle.
 */
export class ReadingPool {
  private readonly pool: pg.Pool;
  private readonly clients = new Set<pg.PoolClient>();

  /**
   * Statements that begin each transaction behind a pooler, where connections cannot keep settings.
   */
  private readonly preamble: string | undefined;
  private readonly timeoutMs: number;
  /** Milliseconds that a caller waits for a free connection. */
  private readonly waitMs: number;
  /** Time, on the clock of performance.now(), at which the server last answered a query. */
  private answeredAt = Number.NEGATIVE_INFINITY;

  constructor(given: OwnClientSettings, pooler: 'transaction' | undefined, options: ReadingPoolOptions = {}) {
    const { timeoutMs = QUERY_TIMEOUT_MS, connections = CONNECTIONS, verify } = options;
    this.timeoutMs = timeoutMs;
    this.waitMs = timeoutMs + 5_000;
    const session = [
      `statement_timeout=${timeoutMs}`,
      // Makes one query use only one processor of the server.
      'max_parallel_workers_per_gather=0',
      'jit=off',
      'client_min_messages=warning',
    ];
    if (pooler) this.preamble = ['BEGIN READ ONLY', ...session.map((setting) => `SET LOCAL ${setting}`)].join('; ');
    const settings = resolveSettings(given);
    const startup = pooler ? undefined : withSettings(settings.options, [...session, ...FORMATS, 'default_transaction_read_only=on']);
    const own: OwnClientSettings & pg.PoolConfig = {
      application_name: 'nestjs-durable',
      ...settings,
      ...(startup === undefined ? {} : { options: startup }),
      ...(given.refusals === undefined ? {} : { refusals: given.refusals }),
      Client: OwnClient,
      // Lets a caller wait until one of the busy connections is free.
      connectionTimeoutMillis: this.waitMs,
      // The server itself ends a query that takes too long. This limit is for a server that has
      // vanished.
      query_timeout: timeoutMs + 5_000,
      max: connections,
      ...(verify === undefined ? {} : { verify: (client, done) => void verify(client).then(() => done(), done) }),
      idleTimeoutMillis: 10_000,
      allowExitOnIdle: true,
    };
    this.pool = new pg.Pool(own);
    // The pool emits an error when an idle connection dies. Without a handler, it would end the
    // process.
    this.pool.on('error', ignore);
    this.pool.on('connect', (client) => this.clients.add(client));
    this.pool.on('remove', (client) => this.clients.delete(client));
  }

  /**
   * Executes a query and returns its rows. The statement has no name: its text varies, and
   * PostgreSQL should plan it for these values.
   *
   * @throws QueryTimeoutError when the query takes too long, or when no connection becomes free in
   * time because other queries take long
   */
  async query<Row extends unknown[]>(text: string, values: readonly unknown[]): Promise<Row[]> {
    const since = performance.now();
    try {
      const { preamble } = this;
      const rows = await (preamble === undefined ? ask<Row>(this.pool, text, values) : this.queryPooled<Row>(preamble, text, values));
      this.answeredAt = performance.now();
      return rows;
    } catch (error) {
      const { code, message } = error as { code?: unknown; message?: unknown };
      if (code === '57014') {
        this.answeredAt = performance.now();
        throw new QueryTimeoutError(this.timeoutMs, { cause: error });
      }
      // The server has answered others meanwhile, whose queries have used the connections. Without
      // an answer, the server may be away.
      if (message === NO_FREE_CONNECTION && this.answeredAt > since) throw new QueryTimeoutError(this.waitMs, { cause: error });
      throw error;
    }
  }

  private async queryPooled<Row extends unknown[]>(preamble: string, text: string, values: readonly unknown[]): Promise<Row[]> {
    const client = await this.pool.connect();
    let broken = true;
    try {
      await client.query(preamble);
      const rows = await ask<Row>(client, text, values);
      await client.query('COMMIT');
      broken = false;
      return rows;
    } finally {
      // A connection on which a transaction failed is closed instead of reused.
      client.release(broken);
    }
  }

  /** Closes every connection, even one that waits for an answer. */
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
