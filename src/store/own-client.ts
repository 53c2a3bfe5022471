import pg from 'pg';

import { setImmediate } from '../core/timers.js';
import type { ConnectionSettings } from './connection-settings.js';
import type { Refusals } from './refusals.js';
import { OWN_TYPES } from './type-parsers.js';

/**
 * Settings of the process (`pg.defaults`) that pg applies to every client which does not set them
 * itself.
 */
const FOREIGN_TIMEOUTS = ['statement_timeout', 'lock_timeout', 'idle_in_transaction_session_timeout', 'client_encoding'];

/** Idle milliseconds after which the operating system probes the other end of the connection. */
const KEEP_ALIVE_DELAY_MS = 10_000;

/** Settings of a client of the module's own. */
export interface OwnClientSettings extends ConnectionSettings {
  /** Recent refusals, shared by all clients of the module. */
  refusals?: Refusals;
  /**
   * Milliseconds that connecting may take, for a pool that sets no limit to the wait for a
   * connection.
   */
  connectTimeoutMillis?: number | undefined;
  /** Set that contains the client from its first attempt to connect until its connection ends. */
  openClients?: Set<pg.Client> | undefined;
}

/** Members of a client that @types/pg leaves out. */
interface Internals {
  binary: boolean;
  pipeline: boolean;
  connectionParameters: Record<string, unknown>;
  connection?: { stream: { destroy(): void } };
}

type Callback = (error: Error | null | undefined, client?: pg.Client) => void;

/**
 * The client of every connection that the module opens. It reads values with the module's own
 * parsers, whatever the application has set for the process. It also destroys the socket when
 * connecting fails: pg keeps the socket open when a password function rejects.
 */
export class OwnClient extends pg.Client {
  private readonly refusals: Refusals | undefined;
  private readonly openClients: Set<pg.Client> | undefined;

  constructor(settings: OwnClientSettings = {}) {
    // A pool makes the password non-enumerable, so the spread of the settings does not copy it.
    const { password } = settings;
    super({
      keepAlive: true,
      // The operating system's default of two hours is too long for a connection that the network
      // has dropped.
      keepAliveInitialDelayMillis: KEEP_ALIVE_DELAY_MS,
      ...settings,
      ...(settings.connectTimeoutMillis === undefined ? {} : { connectionTimeoutMillis: settings.connectTimeoutMillis }),
      ...(password === undefined ? {} : { password: typeof password === 'function' ? named(password) : password }),
      types: OWN_TYPES,
    });
    this.refusals = settings.refusals;
    this.openClients = settings.openClients;
    const internals = this as unknown as Internals;
    internals.binary = false;
    internals.pipeline = false;
    for (const name of FOREIGN_TIMEOUTS) internals.connectionParameters[name] = undefined;
    internals.connectionParameters['query_timeout'] = settings.query_timeout;
  }

  override connect(): Promise<pg.Client>;
  override connect(callback: Callback): void;
  override connect(callback?: Callback): Promise<pg.Client> | void {
    if (callback) return this.connectThen(callback);
    return new Promise((resolve, reject) => this.connectThen((error) => (error ? reject(error) : resolve(this))));
  }

  private connectThen(callback: Callback): void {
    const refused = this.refusals?.current();
    if (refused) return process.nextTick(callback, refused);
    this.openClients?.add(this);
    if (this.openClients) this.once('end', () => this.openClients?.delete(this));
    super.connect((error: Error | null) => {
      this.refusals?.note(error ?? undefined);
      // The socket is destroyed a moment later, because pg may still be processing the server's
      // answer.
      if (error) setImmediate(() => hangUp(this));
      callback(error, this);
    });
  }
}

/**
 * Ends a connection at once, whatever its state is. Queries that wait for an answer get an error.
 */
export function hangUp(client: pg.Client): void {
  (client as unknown as Internals).connection?.stream.destroy();
}

/**
 * Wraps a password function so that its error names its source. The error is logged far from the
 * function.
 */
function named(given: () => string | Promise<string>): () => Promise<string> {
  return async () => {
    try {
      return await given();
    } catch (cause) {
      const reason = cause instanceof Error ? cause.message : String(cause);
      throw Object.assign(new Error(`the password function of the connection failed: ${reason}`, { cause }), {
        code: 'PASSWORD_UNAVAILABLE',
      });
    }
  };
}
