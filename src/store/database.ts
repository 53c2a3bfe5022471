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
import { FORMATS, withSettings } from './startup-options.js';
import { RunLines } from './while-locked.js';

export type { ConnectionSettings } from './connection-settings.js';

/** One function for all: a closure for each statement would cost more. A connection keeps the context in which it was made. */
function run<Row extends unknown[]>(client: pg.Pool | pg.ClientBase, query: pg.QueryArrayConfig): Promise<pg.QueryArrayResult<Row>> {
  return client.query<Row>(query);
}

/** A statement whose text depends on nothing but the schema and the kind of connection; named, so that each connection of our own plans it once. */
export interface Statement {
  readonly name: string;
  /**
   * @param patience belongs behind the conditions of the outermost WHERE of a statement that may have to wait for a lock; empty where the
   * connection has a lock_timeout anyway
   */
  readonly text: (schema: string, patience: string) => string;
}

export type { Pooler } from '../core/pooler.js';

/** How long a statement waits for a lock: a run that somebody holds must not hold up those that are written with it. */
const LOCK_TIMEOUT = '100ms';

/**
 * Behind a pooler there is no setting that lasts longer than a transaction. This one is made by the statement itself, without a round trip: a
 * condition on no row is decided before anything else of the statement is executed, and so before it asks for a lock on a row.
 */
const PATIENCE = ` AND (SELECT set_config('lock_timeout', '${LOCK_TIMEOUT}', true)) IS NOT NULL`;

/**
 * Hot statements must leave the planner no choice. A fresh table has no statistics, a named statement keeps the plan of its first calls, and a
 * plan made for an empty table scans the whole of a full one for ever. So on our own connections everything goes through an index.
 * `jit` would otherwise compile each plan, because a forbidden scan counts as expensive. Behind a pooler the shape of the statements must do.
 */
const PLANNER = ['enable_seqscan', 'enable_hashjoin', 'enable_mergejoin', 'jit'].map((setting) => `${setting}=off`);

/** Settings that our statements depend on, whatever the role or the database says. */
const SESSION = ['client_min_messages=warning', 'default_transaction_isolation=read\\ committed'];

/**
 * A takeover deletes a session and then looks for its runs with a newer snapshot. Under REPEATABLE
 * READ, which a role or a database may default to, the second statement keeps the old snapshot: it
 * misses the runs of a flush that committed in between, and those runs stay `running` for ever.
 */
const BEGIN = 'BEGIN ISOLATION LEVEL READ COMMITTED';

/**
 * Tries of a statement that conflicts with another transaction. Behind a pooler the role's isolation
 * level applies to single statements. They lose no rows, but where that level is stricter than READ
 * COMMITTED they fail with 40001, again and again where many workers claim the same runs. So the
 * repetition is a transaction that says READ COMMITTED: two round trips more, and no such conflict.
 */
const CONFLICT_TRIES = 5;
const CONFLICT_PAUSE_MS = 10;

/** More than one only while a connection does not answer. */
const MAX_VITAL = 3;

/** How many connections of the pool messages to runs take at a time. */
const MAX_DELIVERING = 2;

const ignore = (): void => undefined;

/** The module's own small pool. The application's pool is never used for the module's work, so that neither starves the other. */
export class Database {
  readonly pool: pg.Pool;
  /** Quoted. */
  readonly schema: string;
  readonly schemaName: string;
  /** Which messages look at the depth of their run's inbox. */
  readonly inboxSampling = new InboxSampling();
  /** Calls that wait for locked rows of runs. */
  readonly runLines = new RunLines();
  private readonly texts = new Map<string, string>();
  private readonly settings: OwnClientSettings;
  private readonly pooler: Pooler | undefined;
  private readonly clients = new Set<pg.PoolClient>();
  private readonly reading: ReadingPool;
  private readonly deliveries: Limiter;
  /** For what must not wait: one connection as a rule. */
  private readonly vital: pg.Pool;
  private closed = false;

  constructor(settings: ConnectionSettings, options: { schema?: string; poolSize: number; pooler?: Pooler | undefined }) {
    this.pooler = options.pooler;
    this.schemaName = options.schema ?? DEFAULT_SCHEMA;
    this.schema = quoteIdentifier(this.schemaName);
    this.settings = {
      application_name: 'nestjs-durable',
      ...resolveSettings(settings),
      // A server that vanished without a word would be waited for until TCP gives up, a quarter of an hour.
      query_timeout: 15_000,
      refusals: new Refusals(),
    };
    this.pool = this.makePool(options.poolSize);
    this.vital = this.makePool(MAX_VITAL);
    this.reading = new ReadingPool(this.settings, options.pooler);
    this.deliveries = new Limiter(Math.max(1, Math.min(MAX_DELIVERING, options.poolSize - 1)));
  }

  /**
   * Executes a hot statement; rows come as arrays, without the cost of building objects. Outside a
   * transaction, a statement that conflicts with another one is repeated.
   */
  async query<Row extends unknown[]>(statement: Statement, values: unknown[], client: pg.Pool | pg.ClientBase = this.pool): Promise<Row[]> {
    if (this.closed) throw new ClosedError();
    const text = this.textOf(statement);
    // What one transaction has prepared, the next one, on another connection, does not find.
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
   * Executes a statement that delivers something to runs, or finds out where to. No more than two of them use connections of the pool at a time: however
   * many messages come, claims, flushes and heartbeats find a connection.
   *
   * @param turn `first`: before those that wait for a connection already
   */
  async deliver<Row extends unknown[]>(statement: Statement, values: unknown[], turn: Turn = 'last'): Promise<Row[]> {
    return this.deliveries.run(() => this.query<Row>(statement, values), turn);
  }

  /** Asks a question that may take long, on connections apart: see reading-pool.ts. */
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
    // The pool listens to idle clients only; one that dies in our hands rejects the query as well.
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
   * Executes a statement that must not wait behind other work, on a connection of its own. It is made when it is first needed, and closed when idle. Where
   * the server has no more connections, the pool does it.
   */
  async reserved<Row extends unknown[]>(statement: Statement, values: unknown[]): Promise<Row[]> {
    if (this.closed) throw new ClosedError();
    const client = await this.vital.connect().catch(() => undefined);
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
   * Executes a statement at once, if any connection is free: making one takes many round trips. Where none is free, a connection of its own executes
   * it.
   */
  async urgent<Row extends unknown[]>(statement: Statement, values: unknown[]): Promise<Row[]> {
    const isFree = this.vital.idleCount === 0 && this.pool.idleCount > 0 && this.pool.waitingCount === 0;
    return isFree ? this.query<Row>(statement, values) : this.reserved<Row>(statement, values);
  }

  /** The text of a statement for a connection that has none of the pool's settings: it waits for no lock longer than the pool does. */
  patientText(statement: Statement): string {
    return statement.text(this.schema, PATIENCE);
  }

  /** A connection outside the pool, for LISTEN and the session's lock. The caller connects and ends it. */
  directClient(url?: string): pg.Client {
    const settings = url === undefined ? this.settings : { ...settingsPast(this.settings, url), refusals: new Refusals() };
    return new OwnClient({ ...settings, query_timeout: 5_000 });
  }

  /** Ends every connection, also those that wait for an answer: whoever closes has waited long enough. */
  async close(): Promise<void> {
    this.closed = true;
    const ended = this.pool.end();
    const vitalEnded = this.vital.end();
    for (const client of this.clients) void (client as unknown as pg.Client).end().catch(ignore);
    await Promise.all([ended, vitalEnded, this.reading.close()]);
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
    // A connection that dies while idle is replaced by the next query; without a listener it would end the process.
    pool.on('error', ignore);
    pool.on('connect', (client) => this.clients.add(client));
    pool.on('remove', (client) => this.clients.delete(client));
    return pool;
  }

  /** A pooler refuses settings at the start of a connection, or ignores them. */
  private startupOptions(): ConnectionSettings {
    if (this.pooler) return {};
    const own = [...PLANNER, ...SESSION, ...FORMATS, `lock_timeout=${LOCK_TIMEOUT}`];
    return { options: withSettings(this.settings.options, own) };
  }

  private textOf(statement: Statement): string {
    let text = this.texts.get(statement.name);
    if (text === undefined) {
      text = statement.text(this.schema, this.pooler ? PATIENCE : '');
      this.texts.set(statement.name, text);
    }
    return text;
  }
}
