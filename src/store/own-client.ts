import pg from 'pg';

import { setImmediate } from '../core/timers.js';
import type { ConnectionSettings } from './connection-settings.js';
import type { Refusals } from './refusals.js';
import { OWN_TYPES } from './type-parsers.js';

/**
 * Process-wide settings (`pg.defaults`) that pg applies to each client without a value of its own.
 * The module's clients remove them.
 */
const FOREIGN_TIMEOUTS = ['statement_timeout', 'lock_timeout', 'idle_in_transaction_session_timeout', 'client_encoding'];

/**
 * Milliseconds without traffic after which the operating system probes the other end of a
 * connection.
 */
const KEEP_ALIVE_DELAY_MS = 10_000;

/** Settings of a client that the module creates. */
export interface OwnClientSettings extends ConnectionSettings {
  /** Recent refusals of the server, shared by all clients of the module. */
  refusals?: Refusals;
  /**
   * Milliseconds that connecting may take. A pool would also apply `connectionTimeoutMillis` to the
   * wait for a free connection, which this setting does not limit.
   */
  connectTimeoutMillis?: number | undefined;
  /** Set that contains the client from its first attempt to connect until its connection ends. */
  openClients?: Set<pg.Client> | undefined;
}

/** Members of a pg client that @types/pg leaves out. */
interface Internals {
  binary: boolean;
  pipeline: boolean;
  connectionParameters: Record<string, unknown>;
  connection?: { stream: { destroy(): void; unref?(): void } };
}

const ignore = (): void => undefined;

type Callback = (error: Error | null | undefined, client?: pg.Client) => void;

/**
 * The client of every connection that the module opens. It reads values with the module's own
 * parsers, even if the application has replaced the parsers of pg. It also destroys the socket when
 * connecting fails, because pg leaves the socket open when a password function rejects.
 */
export class OwnClient extends pg.Client {
  private readonly refusals: Refusals | undefined;
  private readonly openClients: Set<pg.Client> | undefined;

  constructor(settings: OwnClientSettings = {}) {
    // A pool makes the password non-enumerable. So `...settings` does not contain the password, and
    // it is copied separately.
    const { password } = settings;
    super({
      keepAlive: true,
      // The operating system's default is two hours. A connection that the network has dropped must
      // be detected sooner.
      keepAliveInitialDelayMillis: KEEP_ALIVE_DELAY_MS,
      ...settings,
      ...(settings.connectTimeoutMillis === undefined ? {} : { connectionTimeoutMillis: settings.connectTimeoutMillis }),
      ...(password === undefined ? {} : { password: typeof password === 'function' ? named(password) : password }),
      types: OWN_TYPES,
    });
    // An error event without a handler would end the process. A pool removes its handler before
    // its caller can add one, and the server may end the connection in between. Ignoring the event
    // hides nothing: the query that uses the connection rejects with the error.
    this.on('error', ignore);
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
      // The call is delayed, because pg may still be processing the server's answer.
      if (error) setImmediate(() => hangUp(this));
      callback(error, this);
    });
  }
}

/** Closes a connection at once, in any state. Queries without an answer reject. */
export function hangUp(client: pg.Client): void {
  (client as unknown as Internals).connection?.stream.destroy();
}

/** Lets the process end while this connection is open. Called once the client has connected. */
export function letProcessEnd(client: pg.Client): void {
  (client as unknown as Internals).connection?.stream.unref?.();
}

/**
 * Wraps a password function so that its errors name the function as their source. Otherwise a log
 * entry would not show where the error comes from.
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
