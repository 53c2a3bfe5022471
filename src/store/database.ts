import pg from 'pg';

import { outside } from '../core/outside.js';
import { sleep } from '../core/timers.js';
import { DEFAULT_SCHEMA, quoteIdentifier } from '../../migrations/index.js';
import { ClosedError } from '../core/errors/index.js';
import { Limiter, type Turn } from '../core/limiter.js';
import type { Pooler } from '../core/pooler.js';
import { resolveSettings, settingsPast, type ConnectionSettings } from './connection-settings.js';
import { faultOf, noteOutage } from './database-errors.js';
import { OwnClient, type OwnClientSettings } from './own-client.js';
import { InboxSampling } from './inbox-sampling.js';
import { ReadingPool } from './reading-pool.js';
import { Refusals } from './refusals.js';
import { POOL_SETTINGS, SET_LOCK_TIMEOUT, withSettings } from './startup-options.js';
import { RowLockQueues } from './row-lock-queues.js';
import { UnwritableRuns } from './unwritable-runs.js';

export type { ConnectionSettings } from './connection-settings.js';

/**
 * Executes a query. One shared function, because a closure for each statement would cost more. A
 * connection keeps the async context in which it was made, so callers run this function outside any
 * context.
 */
function run<Row extends unknown[]>(client: pg.Pool | pg.ClientBase, query: pg.QueryArrayConfig): Promise<pg.QueryArrayResult<Row>> {
  return client.query<Row>(query);
}

/**
 * A statement whose text depends only on the schema and the kind of connection. It has a name, so
 * that each connection of the module's pool plans the statement once.
 */
export interface Statement {
  readonly name: string;
  /**
   * @param lockTimeout a condition that sets the lock timeout. It belongs after the conditions of
   * the outermost WHERE of a statement that may wait for a lock. Empty where the connection has a
   * lock_timeout anyway.
   */
  readonly text: (schema: string, lockTimeout: string) => string;
}

/**
 * Begins a transaction under READ COMMITTED. A takeover deletes a session and then selects its runs
 * with a newer snapshot. Under REPEATABLE READ, which a role or a database may default to, the
 * second statement keeps the old snapshot. It would miss the runs of a flush that committed in
 * between, and those runs would stay `running` for ever.
 */
const BEGIN = 'BEGIN ISOLATION LEVEL READ COMMITTED';

/**
 * Number of tries of a statement that conflicts with another transaction. Behind a pooler the
 * role's isolation level applies to single statements. Under a level stricter than READ COMMITTED
 * they lose no rows. However, they fail with 40001 again and again where many workers claim the
 * same runs. So the repetition runs in a transaction under READ COMMITTED: it costs two more round
 * trips, and cannot conflict in this way.
 */
const CONFLICT_TRIES = 5;
const CONFLICT_PAUSE_MS = 10;

/**
 * Maximum number of connections for statements that must not wait. More than one opens only while a
 * connection does not answer.
 */
const MAX_RESERVED = 3;

/** Maximum number of connections of the pool that deliver messages to runs at the same time. */
const MAX_DELIVERING = 2;

const ignore = (): void => undefined;

/**
 * The module's own small pool. The module never uses the application's pool for its work, so that
 * neither starves the other.
 */
export class Database {
  readonly pool: pg.Pool;
  /** Name of the schema as a quoted identifier. */
  readonly schema: string;
  readonly schemaName: string;
  /** Chooses the messages that check the depth of their run's inbox. */
  readonly inboxSampling = new InboxSampling();
  /** Calls that wait for locked rows of runs. */
  readonly rowLockQueues = new RowLockQueues();
  readonly unwritable = new UnwritableRuns();
  private readonly texts = new Map<string, string>();
  private readonly settings: OwnClientSettings;
  private readonly pooler: Pooler | undefined;
  private readonly clients = new Set<pg.PoolClient>();
  private readonly reading: ReadingPool;
  private readonly deliveries: Limiter;
  /** Pool for statements that must not wait. It usually holds one connection. */
  private readonly reservedPool: pg.Pool;
  private closed = false;

  constructor(settings: ConnectionSettings, options: { schema?: string; poolSize: number; pooler?: Pooler | undefined }) {
    this.pooler = options.pooler;
    this.schemaName = options.schema ?? DEFAULT_SCHEMA;
    this.schema = quoteIdentifier(this.schemaName);
    this.settings = {
      application_name: 'nestjs-durable',
      ...resolveSettings(settings),
      // Without this timeout, a statement would wait for a vanished server until TCP gives up after
      // a quarter of an hour.
      query_timeout: 15_000,
      refusals: new Refusals(),
    };
    this.pool = this.makePool(options.poolSize);
    this.reservedPool = this.makePool(MAX_RESERVED);
    this.reading = new ReadingPool(this.settings, options.pooler);
    this.deliveries = new Limiter(Math.max(1, Math.min(MAX_DELIVERING, options.poolSize - 1)));
  }

  /**
   * Executes a hot statement. Rows are returned as arrays, which saves the cost of building
   * objects. Outside a transaction, a statement that conflicts with another one is repeated.
   */
  async query<Row extends unknown[]>(statement: Statement, values: unknown[], client: pg.Pool | pg.ClientBase = this.pool): Promise<Row[]> {
    if (this.closed) throw new ClosedError();
    const text = this.textOf(statement);
    // Behind a pooler the next transaction may use another connection, which lacks the statement
    // that this one prepared. So the statement gets no name there.
    const query = this.pooler
      ? { text, values, rowMode: 'array' as const }
      : { name: statement.name, text, values, rowMode: 'array' as const };
    for (let tries = 1; ; tries++) {
      try {
        if (tries > 1 && this.pooler) return await this.transaction(async (own) => (await run<Row>(own, query)).rows);
        return (await outside(run<Row>, client, query)).rows;
      } catch (error) {
        if (client !== this.pool || tries === CONFLICT_TRIES || faultOf(error) !== 'conflict') {
          noteOutage(error);
          throw error;
        }
        await sleep(Math.random() * CONFLICT_PAUSE_MS * tries);
      }
    }
  }

  /**
   * Executes a statement that delivers something to runs, or looks up where to deliver it. At most
   * two such statements use connections of the pool at the same time. However many messages arrive,
   * claims, flushes and heartbeats find a connection.
   *
   * @param turn `first`: before the statements that already wait for a connection
   */
  async deliver<Row extends unknown[]>(statement: Statement, values: unknown[], turn: Turn = 'last'): Promise<Row[]> {
    return this.deliveries.run(() => this.query<Row>(statement, values), turn);
  }

  /** Executes a query that may take long, on separate connections: see reading-pool.ts. */
  async read<Row extends unknown[]>(text: string, values: readonly unknown[]): Promise<Row[]> {
    if (this.closed) throw new ClosedError();
    return outside(() => this.reading.query<Row>(text, values));
  }

  /** Executes statements in a transaction. */
  async transaction<T>(work: (client: pg.PoolClient) => Promise<T>): Promise<T> {
    const client = await outside(() => this.pool.connect()).catch((error: unknown) => {
      noteOutage(error);
      throw error;
    });
    // The pool listens for errors of idle clients only. A client that dies while in use also
    // rejects its query.
    client.on('error', ignore);
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
      client.removeListener('error', ignore);
      client.release(broken);
    }
  }

  /**
   * Executes a statement that must not wait behind other work, on a reserved connection. The
   * connection is made when it is first needed, and closed when idle. When the server accepts no
   * more connections, the pool executes the statement.
   */
  async reserved<Row extends unknown[]>(statement: Statement, values: unknown[]): Promise<Row[]> {
    if (this.closed) throw new ClosedError();
    const client = await this.reservedPool.connect().catch(() => undefined);
    if (!client) return this.query<Row>(statement, values);
    client.on('error', ignore);
    let broken: Error | undefined;
    try {
      return await this.query<Row>(statement, values, client);
    } catch (error) {
      broken = error as Error;
      throw error;
    } finally {
      client.removeListener('error', ignore);
      client.release(broken);
    }
  }

  /**
   * Executes a statement at once if the pool has a free connection, because making one takes many
   * round trips. Otherwise a reserved connection executes the statement.
   */
  async urgent<Row extends unknown[]>(statement: Statement, values: unknown[]): Promise<Row[]> {
    const hasFree = this.reservedPool.idleCount === 0 && this.pool.idleCount > 0 && this.pool.waitingCount === 0;
    return hasFree ? this.query<Row>(statement, values) : this.reserved<Row>(statement, values);
  }

  /**
   * Text of a statement for a connection without the pool's settings. The statement sets the pool's
   * lock timeout itself.
   */
  textWithLockTimeout(statement: Statement): string {
    return statement.text(this.schema, SET_LOCK_TIMEOUT);
  }

  /**
   * Creates a client outside the pool, for LISTEN and the session's lock. The caller connects and
   * ends it.
   */
  directClient(url?: string): pg.Client {
    const settings = url === undefined ? this.settings : { ...settingsPast(this.settings, url), refusals: new Refusals() };
    return new OwnClient({ ...settings, query_timeout: 5_000 });
  }

  /**
   * Ends every connection, also those that still wait for an answer. The caller has given active
   * work its time before closing.
   */
  async close(): Promise<void> {
    this.closed = true;
    const ended = this.pool.end();
    const reservedEnded = this.reservedPool.end();
    for (const client of this.clients) void (client as unknown as pg.Client).end().catch(ignore);
    await Promise.all([ended, reservedEnded, this.reading.close()]);
  }

  private makePool(max: number): pg.Pool {
    const own: OwnClientSettings & pg.PoolConfig = {
      ...this.settings,
      ...this.startupOptions(),
      Client: OwnClient,
      max,
      idleTimeoutMillis: 30_000,
      allowExitOnIdle: true,
    };
    const pool = new pg.Pool(own);
    // The next query replaces a connection that dies while idle. Without a listener its error would
    // end the process.
    pool.on('error', ignore);
    pool.on('connect', (client) => this.clients.add(client));
    pool.on('remove', (client) => this.clients.delete(client));
    return pool;
  }

  /**
   * Startup options of the pool's connections. A pooler refuses or ignores them, so they are empty
   * behind one.
   */
  private startupOptions(): ConnectionSettings {
    if (this.pooler) return {};
    return { options: withSettings(this.settings.options, POOL_SETTINGS) };
  }

  private textOf(statement: Statement): string {
    let text = this.texts.get(statement.name);
    if (text === undefined) {
      text = statement.text(this.schema, this.pooler ? SET_LOCK_TIMEOUT : '');
      this.texts.set(statement.name, text);
    }
    return text;
  }
}
