import pg from 'pg';

import { outside } from '../core/outside.js';
import { sleep } from '../core/timers.js';
import { DEFAULT_SCHEMA, quoteIdentifier } from '../../migrations/index.js';
import { ClosedError } from '../core/errors/index.js';
import { Limiter, type Turn } from '../core/limiter.js';
import type { Pooler } from '../core/pooler.js';
import { resolveSettings, settingsPast, type ConnectionSettings } from './connection-settings.js';
import type { DatabaseAddress } from './database-label.js';
import { faultOf, noteOutage } from './database-errors.js';
import { OwnClient, type OwnClientSettings } from './own-client.js';
import { InboxSampling } from './inbox-sampling.js';
import { KnownQueues } from './known-queues.js';
import { ListenedEvents } from './listened-events.js';
import { ReadingPool, type ReadingPoolOptions } from './reading-pool.js';
import { Refusals } from './refusals.js';
import { POOL_SETTINGS, SET_LOCK_TIMEOUT, withSettings } from './startup-options.js';
import { RowLockQueues } from './row-lock-queues.js';
import { inTransaction } from './transaction.js';
import { UnwritableRuns } from './unwritable-runs.js';

export type { ConnectionSettings } from './connection-settings.js';

/**
 * Executes a query. All statements share this function, because a closure per statement would be
 * slower. A new connection keeps the async context in which it is made. So callers call this
 * function through `outside`, which leaves the context of the current request.
 */
function run<Row extends unknown[]>(client: pg.Pool | pg.ClientBase, query: pg.QueryArrayConfig): Promise<pg.QueryArrayResult<Row>> {
  return client.query<Row>(query);
}

/**
 * A statement whose text depends only on the schema and the kind of connection. Because it has a
 * name, each connection of the module's pool plans it only once.
 */
export interface Statement {
  readonly name: string;
  /**
   * Builds the text of the statement.
   *
   * @param lockTimeout a condition that sets the lock timeout, or an empty text when the connection
   * already has one. A statement that may wait for a lock adds the condition at the end of its
   * outermost WHERE.
   */
  readonly text: (schema: string, lockTimeout: string) => string;
}

/**
 * Number of tries of a statement that conflicts with another transaction. Behind a pooler, the
 * role's isolation level applies to single statements. If the level is stricter than READ
 * COMMITTED, no data is lost. However, the statement fails with 40001 again and again while many
 * workers claim the same runs. So the second try and later ones run in a transaction under READ
 * COMMITTED. Such a transaction costs two more round trips, but cannot fail with 40001.
 */
const CONFLICT_TRIES = 5;
const CONFLICT_PAUSE_MS = 10;

/**
 * Maximum number of connections for statements that must not wait. More than one opens only while a
 * connection does not answer.
 */
const MAX_RESERVED = 3;

/** Maximum number of the pool's connections that may deliver messages to runs at the same time. */
const MAX_DELIVERING = 2;

const ignore = (): void => undefined;

/**
 * The module's own small pool of connections. The module does not work on the application's pool,
 * so that the module and the application cannot use up each other's connections.
 */
export class Database {
  readonly pool: pg.Pool;
  /** Name of the schema as a quoted identifier. */
  readonly schema: string;
  readonly schemaName: string;
  /** Decides which messages check whether the inbox of their run is full. */
  readonly inboxSampling = new InboxSampling();
  /** Calls that wait until another transaction unlocks the row of a run. */
  readonly rowLockQueues = new RowLockQueues();
  readonly unwritable = new UnwritableRuns();
  /** Run events for which any process has a listener. */
  readonly listened = new ListenedEvents();
  /** Queues with limits, as far as this process knows. */
  readonly queues = new KnownQueues();
  private readonly texts = new Map<string, string>();
  private readonly settings: OwnClientSettings;
  private readonly pooler: Pooler | undefined;
  private readonly clients = new Set<pg.PoolClient>();
  private readonly reading: ReadingPool;
  private readonly deliveries: Limiter;
  /** Pool for statements that must not wait behind others. It usually holds one connection. */
  private readonly reservedPool: pg.Pool;
  private closed = false;

  constructor(settings: ConnectionSettings, options: { schema?: string; poolSize: number; pooler?: Pooler | undefined }) {
    this.pooler = options.pooler;
    this.schemaName = options.schema ?? DEFAULT_SCHEMA;
    this.schema = quoteIdentifier(this.schemaName);
    this.settings = {
      application_name: 'nestjs-durable',
      ...resolveSettings(settings),
      // Without this timeout, a statement would wait for a vanished server until TCP gives up,
      // which takes a quarter of an hour.
      query_timeout: 15_000,
      refusals: new Refusals(),
    };
    this.pool = this.makePool(options.poolSize);
    this.reservedPool = this.makePool(MAX_RESERVED);
    this.reading = new ReadingPool(this.settings, options.pooler);
    this.deliveries = new Limiter(Math.max(1, Math.min(MAX_DELIVERING, options.poolSize - 1)));
  }

  /** Address of the database that the pool's connections lead to. */
  get address(): DatabaseAddress {
    const { host, port, database } = this.settings;
    return { host, port, database };
  }

  /**
   * Returns a view of this pool whose statements are of another schema. The view has the
   * connections and the state of the pool, and ends with the pool.
   */
  withSchema(schemaName: string): Database {
    return Object.create(this, {
      schemaName: { value: schemaName },
      schema: { value: quoteIdentifier(schemaName) },
      texts: { value: new Map<string, string>() },
    }) as Database;
  }

  /**
   * Executes a frequent statement. Returns rows as arrays, because building objects costs time.
   * Repeats a statement that conflicts with another transaction, unless `client` is given: a
   * statement that is part of a transaction cannot be repeated alone.
   */
  async query<Row extends unknown[]>(statement: Statement, values: unknown[], client: pg.Pool | pg.ClientBase = this.pool): Promise<Row[]> {
    if (this.closed) throw new ClosedError();
    const text = this.textOf(statement);
    // Behind a pooler, the next transaction may use another server connection, on which this
    // statement is not prepared. So the statement gets no name there.
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
   * Executes a statement that delivers messages to runs, or that looks up where to deliver them.
   * Only two such statements use the pool at the same time. So claims, flushes and heartbeats find
   * a connection even while many messages arrive.
   *
   * @param turn `first` puts the statement before those that already wait for a connection
   */
  async deliver<Row extends unknown[]>(statement: Statement, values: unknown[], turn: Turn = 'last'): Promise<Row[]> {
    return this.deliveries.run(() => this.query<Row>(statement, values), turn);
  }

  /** Executes a query that may take long. It uses separate connections: see reading-pool.ts. */
  async read<Row extends unknown[]>(text: string, values: readonly unknown[]): Promise<Row[]> {
    if (this.closed) throw new ClosedError();
    return outside(() => this.reading.query<Row>(text, values));
  }

  /** Executes statements in a transaction and returns the result of `work`. */
  transaction<T>(work: (client: pg.PoolClient) => Promise<T>): Promise<T> {
    return outside(async () => {
      const client = await this.pool.connect().catch((error: unknown) => {
        noteOutage(error);
        throw error;
      });
      return inTransaction(client, work);
    });
  }

  /**
   * Executes a statement that must not wait behind other work, on a reserved connection. This
   * connection is made when it is first needed, and closed when idle. When the server accepts no
   * more connections, the normal pool executes the statement.
   */
  async reserved<Row extends unknown[]>(statement: Statement, values: unknown[]): Promise<Row[]> {
    if (this.closed) throw new ClosedError();
    const client = await outside(() => this.reservedPool.connect()).catch(() => undefined);
    if (!client) return this.query<Row>(statement, values);
    let broken: Error | undefined;
    try {
      return await this.query<Row>(statement, values, client);
    } catch (error) {
      broken = error as Error;
      throw error;
    } finally {
      client.release(broken);
    }
  }

  /**
   * Executes a statement without waiting for a new connection, which would take many round trips.
   * Uses a free connection of the pool, or else the reserved connection.
   */
  async urgent<Row extends unknown[]>(statement: Statement, values: unknown[]): Promise<Row[]> {
    const hasFree = this.reservedPool.idleCount === 0 && this.pool.idleCount > 0 && this.pool.waitingCount === 0;
    return hasFree ? this.query<Row>(statement, values) : this.reserved<Row>(statement, values);
  }

  /**
   * Returns the text of a statement for a connection that lacks the pool's settings. The text
   * itself sets the lock timeout that the pool would have set.
   */
  textWithLockTimeout(statement: Statement): string {
    return statement.text(this.schema, SET_LOCK_TIMEOUT);
  }

  /**
   * Creates a client outside the pool, for LISTEN and for the session's lock. The caller connects
   * and closes it.
   */
  directClient(url?: string): pg.Client {
    return new OwnClient({ ...(url === undefined ? this.settings : this.settingsAt(url)), query_timeout: 5_000 });
  }

  /**
   * Creates a pool for queries on another server, such as a read replica. Parts that the URL leaves
   * out, such as the user, are those of the module's own connection. The caller closes the pool.
   */
  readingPool(url: string, options: ReadingPoolOptions): ReadingPool {
    return new ReadingPool({ application_name: 'nestjs-durable', ...this.settingsAt(url) }, this.pooler, options);
  }

  /**
   * Closes every connection, even one that waits for an answer. The caller has already waited for
   * active work to end.
   */
  async close(): Promise<void> {
    this.closed = true;
    const ended = this.pool.end();
    const reservedEnded = this.reservedPool.end();
    for (const client of this.clients) void (client as unknown as pg.Client).end().catch(ignore);
    await Promise.all([ended, reservedEnded, this.reading.close()]);
  }

  private settingsAt(url: string): OwnClientSettings {
    return { ...settingsPast(this.settings, url), refusals: new Refusals() };
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
    // A connection may die while it is idle. The next query then opens a new one. Without a
    // listener, the error would end the process.
    pool.on('error', ignore);
    pool.on('connect', (client) => this.clients.add(client));
    pool.on('remove', (client) => this.clients.delete(client));
    return pool;
  }

  /**
   * Startup options of the pool's connections. Empty behind a pooler, which would refuse or ignore
   * them.
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
