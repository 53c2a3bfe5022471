import { performance } from 'node:perf_hooks';
import { randomUUID } from 'node:crypto';

import type { Client, Notification, QueryResult, QueryResultRow } from 'pg';

import { clearInterval, clearTimeout, setInterval, setTimeout } from '../core/timers.js';
import { within } from '../core/async.js';
import { outside } from '../core/outside.js';
import { faultOf } from './database-errors.js';
import type { Database, Statement } from './database.js';
import { channelOf, NoticeBatch, parseNotice, probeChannelOf, type Notice } from './notifications.js';
import type { DirectConnectionEvents } from './direct-connection-events.js';
import { hangUp } from './own-client.js';
import { notifyByPool } from './sql/connection-probes.js';
import { sessionLockClass } from './sql/sessions.js';

/** Milliseconds for which notices are collected before they are sent as one notification. */
const COALESCE_MS = 3;
/**
 * Makes the server check whether this client is still reachable. Without these checks, the server
 * would hold the lock of a vanished host for hours. Some platforms do not support these settings.
 */
const KEEP_ALIVE = 'SET tcp_keepalives_idle = 5; SET tcp_keepalives_interval = 5; SET tcp_keepalives_count = 3';
const RECONNECT_MS = 250;
const MAX_RECONNECT_MS = 2_000;
/** Failed attempts before the first report. A restarting server is usually back before that. */
const QUIET_ATTEMPTS = 3;
const REPORT_AGAIN_MS = 60_000;
/**
 * Milliseconds between two pings. A connection to a server that vanished silently looks as if it
 * were idle. Only a query without an answer shows the loss.
 */
const PING_MS = 10_000;
const CLOSE_TIMEOUT_MS = 500;
/**
 * Milliseconds for which a connection waits for the test notification that the pool sends to it. If
 * none arrives, `RECEIVE_RETRY_MS` is the pause before the module connects again.
 */
const RECEIVE_TIMEOUT_MS = 3_000;
const RECEIVE_RETRY_MS = 60_000;

/**
 * The module's one connection outside the pool. It listens, notifies, and holds the session's lock,
 * which shows that this process is alive. The server frees the lock at once when the process dies.
 * The connection reconnects by itself until it is stopped.
 */
export class DirectConnection {
  private readonly self = randomUUID();
  private readonly batch = new NoticeBatch();
  private client: Client | undefined;
  /** The connection that is being established, if any. */
  private attempt: Client | undefined;
  private timer: NodeJS.Timeout | undefined;
  private reconnecting: NodeJS.Timeout | undefined;
  private pinging: NodeJS.Timeout | undefined;
  private state: 'new' | 'open' | 'stopped' = 'new';
  /** Settles when the last query in the queue has ended. Queries execute one at a time. */
  private turn: Promise<unknown> = Promise.resolve();
  /**
   * Number of failed attempts to connect, in a row. `failure` is the last error, and `reportedAt`
   * is the time of the last report.
   */
  private failures = 0;
  private failure: Error | undefined;
  private reportedAt = Number.NEGATIVE_INFINITY;
  /** True once a test notification has arrived. Later connections are not tested again. */
  private receives = false;

  constructor(
    private readonly database: Database,
    private readonly events: DirectConnectionEvents,
    /** Address of the direct connection, if it differs from the pool's address. */
    private readonly url?: string,
  ) {}

  get isConnected(): boolean {
    return this.client !== undefined;
  }

  /**
   * Reason why the connection cannot be made. Undefined while it is connected, and before the first
   * failure.
   */
  get error(): Error | undefined {
    return this.client === undefined ? this.failure : undefined;
  }

  /**
   * Connects. Resolves after the first attempt, even if the attempt fails. Does nothing after an
   * earlier call of `start` or `stop`.
   */
  async start(): Promise<void> {
    if (this.state !== 'new') return;
    this.state = 'open';
    this.pinging = setInterval(() => this.ping(), PING_MS).unref();
    await outside(() => this.connect());
  }

  /** Notifies the other processes within milliseconds. Drops the notice without a connection. */
  notify(notice: Notice): void {
    if (!this.client) return;
    this.batch.add(notice);
    this.timer ??= setTimeout(() => {
      this.timer = undefined;
      this.send();
    }, COALESCE_MS);
  }

  /** Acquires a session's lock if it is free. Returns true when this connection holds the lock. */
  async lock(sessionId: string): Promise<boolean> {
    const client = this.client;
    if (!client) return false;
    const values = [sessionLockClass(this.database), Number(BigInt(sessionId) & 0x7fffffffn)];
    const result = await this.queryInTurn<{ held: boolean }>(client, 'SELECT pg_try_advisory_lock($1::int, $2::int) AS held', values);
    return result?.rows[0]?.held === true && this.client === client;
  }

  /**
   * Executes a short statement on this connection. A long statement would delay all later ones.
   *
   * @returns undefined when there is no connection, or when the statement failed
   */
  async execute<Row extends unknown[]>(statement: Statement, values: unknown[]): Promise<Row[] | undefined> {
    const client = this.client;
    const text = this.database.textWithLockTimeout(statement);
    return client && this.inTurn(client, async () => (await client.query<Row>({ text, values, rowMode: 'array' })).rows);
  }

  /**
   * Sends the collected notices, then ends the connection, even if it is still being established.
   * All sockets are closed when the promise resolves.
   */
  async stop(): Promise<void> {
    this.state = 'stopped';
    clearInterval(this.pinging);
    clearTimeout(this.timer);
    clearTimeout(this.reconnecting);
    this.timer = undefined;
    if (this.attempt) hangUp(this.attempt);
    this.send();
    // A connection that does not answer must not delay the stop.
    await within(CLOSE_TIMEOUT_MS, this.turn);
    const client = this.client;
    this.client = undefined;
    if (!client) return;
    await within(CLOSE_TIMEOUT_MS, client.end()).catch(() => undefined);
    hangUp(client);
  }

  private async connect(): Promise<void> {
    const client = this.database.directClient(this.url);
    const channel = channelOf(this.database.schemaName);
    this.attempt = client;
    const lose = (): void => this.handleLoss(client);
    client.on('error', lose);
    client.on('end', lose);
    client.on('notification', (message: Notification) => {
      const notice = message.payload === undefined || message.channel !== channel ? undefined : parseNotice(message.payload, this.self);
      if (notice) this.emit((events) => events.noticed(notice));
    });
    try {
      await client.connect();
      this.receives ||= await this.receivesFromPool(client);
      // NOTIFY runs in its own transaction and contains nothing that must survive a crash. So its
      // commit need not wait for the disk. A pooler must not get this setting, because other
      // clients of the pooler would inherit it.
      if (this.receives) {
        await client.query(`LISTEN "${channel}"; SET synchronous_commit = off`);
        await client.query(KEEP_ALIVE).catch(() => undefined);
      }
    } catch (error) {
      client.removeListener('end', lose);
      void client.end().catch(() => undefined);
      this.noteFailure(error);
      return this.reconnectLater();
    } finally {
      this.attempt = undefined;
    }
    if (this.state !== 'open') return hangUp(client);
    if (!this.receives) {
      void client.end().catch(() => undefined);
      this.failure = new Error('notifications do not arrive on the connection');
      this.emit((events) => events.receivesNothing());
      return this.reconnect(RECEIVE_RETRY_MS);
    }
    this.client = client;
    this.failures = 0;
    this.failure = undefined;
    this.reportedAt = Number.NEGATIVE_INFINITY;
    this.turn = Promise.resolve();
    this.emit((events) => events.connected());
  }

  /**
   * Returns true when a notification from the pool arrives on this connection. LISTEN succeeds
   * behind a pooler as well, but the pooler soon gives the server connection to other clients. Even
   * then, a notification that the connection sends to itself may arrive. So another connection
   * sends the test notification.
   */
  private async receivesFromPool(client: Client): Promise<boolean> {
    const channel = probeChannelOf(this.database.schemaName);
    const received = new Promise<void>((resolve) => {
      client.on('notification', (message: Notification) => {
        if (message.channel === channel && message.payload === this.self) resolve();
      });
    });
    await client.query(`LISTEN "${channel}"`);
    await notifyByPool(this.database, channel, this.self);
    const answer = await within(RECEIVE_TIMEOUT_MS, received);
    await client.query(`UNLISTEN "${channel}"`);
    return answer === 'done';
  }

  private handleLoss(client: Client): void {
    if (this.client !== client) return;
    this.client = undefined;
    if (this.state !== 'open') return hangUp(client);
    const closed = within(CLOSE_TIMEOUT_MS, this.events.lost()).finally(() => hangUp(client));
    // The server frees the session's lock when the connection closes. So `lost` first records in
    // the session's row that the session holds no lock. Otherwise other workers would take over the
    // session's runs.
    closed.catch((error: unknown) => this.events.failed(error));
    this.reconnect(0);
  }

  private reconnect(delay = RECONNECT_MS): void {
    if (this.state !== 'open') return;
    clearTimeout(this.reconnecting);
    this.reconnecting = setTimeout(() => void this.connect().catch(() => this.reconnectLater()), delay);
  }

  /**
   * Reconnects after a pause that grows with each failure, so that a server that keeps refusing is
   * not overloaded.
   */
  private reconnectLater(): void {
    this.reconnect(Math.min(RECONNECT_MS * 2 ** Math.min(this.failures, 10), MAX_RECONNECT_MS));
  }

  private noteFailure(error: unknown): void {
    if (this.state !== 'open') return;
    this.failures++;
    this.failure = error as Error;
    const isRefused = faultOf(error) === 'refused';
    if ((!isRefused && this.failures < QUIET_ATTEMPTS) || performance.now() - this.reportedAt < REPORT_AGAIN_MS) return;
    this.reportedAt = performance.now();
    this.emit((events) => events.unreachable(error));
  }

  /**
   * Calls a callback and catches its error, because an error thrown inside a socket event would end
   * the process.
   */
  private emit(call: (events: DirectConnectionEvents) => void): void {
    try {
      call(this.events);
    } catch (error) {
      this.events.failed(error);
    }
  }

  /**
   * Executes a query after the earlier queries have ended. Treats a connection that does not answer
   * as lost, even if its socket still seems open.
   */
  private queryInTurn<Row extends QueryResultRow>(client: Client, text: string, values: unknown[]): Promise<QueryResult<Row> | undefined> {
    return this.inTurn(client, () => client.query<Row>(text, values));
  }

  private inTurn<T>(client: Client, work: () => Promise<T>): Promise<T | undefined> {
    const asked = this.turn.then(async () => {
      if (this.client !== client) return undefined;
      try {
        return await outside(work);
      } catch (error) {
        if (faultOf(error) === 'connection') this.handleLoss(client);
        return undefined;
      }
    });
    this.turn = asked;
    return asked;
  }

  private ping(): void {
    if (this.client) void this.queryInTurn(this.client, 'SELECT 1', []);
  }

  private send(): void {
    const client = this.client;
    if (!client) return;
    const channel = channelOf(this.database.schemaName);
    for (const payload of this.batch.take(this.self)) {
      // The notification is not part of the transaction that it reports. NOTIFY takes a lock at
      // commit, so transactions that contain NOTIFY would commit one after another.
      void this.queryInTurn(client, 'SELECT pg_notify($1, $2)', [channel, payload]);
    }
  }
}
