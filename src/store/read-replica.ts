import { performance } from 'node:perf_hooks';

import type pg from 'pg';

import { QueryTimeoutError } from '../core/errors/index.js';
import { AbortGate, within } from '../core/async.js';
import { outside } from '../core/outside.js';
import { clearTimeout, setTimeout } from '../core/timers.js';
import type { Database } from './database.js';
import { faultOf } from './database-errors.js';
import type { ReadingPool } from './reading-pool.js';
import { checkReplica, lagOf, ReplicaRefusedError, type ReplicaLag } from './replica-check.js';
import { readReplicationState, type ReplicationState } from './sql/replica.js';

/** Milliseconds in which the replica, and the primary too, must answer a check. */
const CHECK_MS = 2_000;
/** Milliseconds after which a replica that is in use is checked again, with the next query. */
const CHECK_EVERY_MS = 10_000;
/** Milliseconds after which a query without an answer leads to a check of the replica. */
const SLOW_MS = 2_000;
/** Shortest and longest pause before a replica that failed is tried again, in milliseconds. */
const MIN_PAUSE_MS = 1_000;
const MAX_PAUSE_MS = 60_000;

/** State of a read replica, as this process sees it. */
export type ReplicaState = ({ readonly isInUse: true } & ReplicaLag) | { readonly isInUse: false; readonly error: Error };

/** Handlers for changes of the replica's state. */
export interface ReplicaEvents {
  /**
   * Called when reads begin to use the primary instead, and when a replica that was away comes back
   * as a server that is refused.
   */
  failed(error: unknown): void;
  /** Called when reads use the replica again. */
  recovered(): void;
}

/**
 * Connections to a replica. Short queries and checks have connections of their own, so that they do
 * not wait behind counts and listings.
 */
interface Pools {
  /** Connections for queries about many runs, which may take long. */
  readonly long: ReadingPool;
  /** Connection for queries about one run. */
  readonly short: ReadingPool;
  readonly checks: ReadingPool;
  /**
   * Rejects every query when these connections are given up. A pool that is being closed would let
   * callers wait that have no connection yet.
   */
  readonly gate: AbortGate;
  isOpen: boolean;
}

/** Kind of a query: `long` ones may visit many runs, `short` ones are about one run. */
export type QueryLength = 'long' | 'short';

const ignore = (): void => undefined;

/**
 * Read replica of the database: a hot standby that answers queries in place of the primary. A query
 * goes to the primary while the replica is away, and no query waits for a replica that is away: a
 * check in the background, at growing intervals, finds out when it is back.
 */
export class ReadReplica {
  /** Open while the replica is in use. */
  private pools: Pools | undefined;
  /** Connections that were opened last: those in use, or those of a check. */
  private opened: Pools | undefined;
  private lag: ReplicaLag = { lagBytes: undefined, lagMs: undefined };
  private error: unknown = new Error('the replica has not been checked yet');
  /** Failure that `failed` was called for, until the replica is in use again. */
  private reported: 'away' | 'refused' | undefined;
  /** Latest known state of the primary. Its identity stays valid while the primary is away. */
  private primary: ReplicationState | undefined;
  private checking: Promise<void> | undefined;
  private nextCheckAt = Number.NEGATIVE_INFINITY;
  private pauseMs = 0;
  private closed = false;

  constructor(
    private readonly database: Database,
    private readonly url: string,
    private readonly events: ReplicaEvents,
  ) {}

  /**
   * Executes a query on the replica, or else on the primary.
   *
   * @param length determines the connections that the query uses
   * @param onPrimary executes the same query on the primary
   * @throws QueryTimeoutError when the query takes too long on the replica, and the errors of
   *   `onPrimary`
   */
  async query<Row extends unknown[]>(
    length: QueryLength,
    text: string,
    values: readonly unknown[],
    onPrimary: () => Promise<Row[]>,
  ): Promise<Row[]> {
    if (performance.now() >= this.nextCheckAt) void this.check();
    const { pools } = this;
    if (!pools) return onPrimary();
    const slow = setTimeout(() => void this.check(), SLOW_MS).unref();
    try {
      return await pools.gate.until(outside(() => pools[length].query<Row>(text, values)));
    } catch (error) {
      // The same query would take as long on the primary, and would delay the workers.
      if (error instanceof QueryTimeoutError) throw error;
      // A standby cancels queries that conflict with what it replays (a conflict). Bad values fail
      // on the primary too, with the error that the caller expects.
      const fault = faultOf(error);
      if (fault !== 'conflict' && fault !== 'data') this.giveUp(pools, error);
      return await onPrimary();
    } finally {
      clearTimeout(slow);
    }
  }

  /** Returns the current state, after a check unless the next try of a lost replica is not due. */
  async state(): Promise<ReplicaState> {
    if (this.pools || performance.now() >= this.nextCheckAt) await this.check();
    if (this.pools) return { isInUse: true, ...this.lag };
    return { isInUse: false, error: this.error instanceof Error ? this.error : new Error(String(this.error)) };
  }

  /** Checks the replica, and begins or stops to use it. Never rejects. */
  check(): Promise<void> {
    this.checking ??= outside(() => this.checkNow()).finally(() => (this.checking = undefined));
    return this.checking;
  }

  async close(): Promise<void> {
    this.closed = true;
    this.pools = undefined;
    this.nextCheckAt = Number.POSITIVE_INFINITY;
    if (this.opened?.isOpen) await closePools(this.opened);
  }

  private async checkNow(): Promise<void> {
    if (this.closed) return;
    let { pools } = this;
    try {
      // Reads the files that the URL names, such as a root certificate, and may throw.
      pools ??= this.openPools();
      const { checks } = pools;
      const primary = await this.readPrimary();
      const replica = await soon(readReplicationState((statement) => outside(() => checks.query(statement.text('', ''), []))));
      checkReplica(replica, this.primary!);
      this.lag = lagOf(replica, primary);
      this.use(pools);
    } catch (error) {
      if (pools) this.giveUp(pools, error);
      else this.lost(error);
    }
  }

  /**
   * Reads the state of the primary. Undefined when it does not answer now, but has answered before.
   *
   * @throws the error of a primary that has never answered
   */
  private async readPrimary(): Promise<ReplicationState | undefined> {
    try {
      return (this.primary = await soon(readReplicationState((statement) => this.database.query(statement, []))));
    } catch (error) {
      if (!this.primary) throw error;
      return undefined;
    }
  }

  private openPools(): Pools {
    const verify = async (client: pg.PoolClient): Promise<void> => {
      const state = await readReplicationState(async (statement) => {
        const { rows } = await client.query<unknown[]>({ text: statement.text('', ''), rowMode: 'array' });
        return rows;
      });
      checkReplica(state, this.primary!);
    };
    this.opened = {
      long: this.database.readingPool(this.url, { verify }),
      short: this.database.readingPool(this.url, { verify, connections: 1 }),
      checks: this.database.readingPool(this.url, { timeoutMs: CHECK_MS, connections: 1 }),
      gate: new AbortGate(),
      isOpen: true,
    };
    return this.opened;
  }

  private use(pools: Pools): void {
    // A query may have given up these connections during the check.
    if (!pools.isOpen) return;
    this.pools = pools;
    this.pauseMs = 0;
    this.nextCheckAt = performance.now() + CHECK_EVERY_MS;
    if (this.reported) this.events.recovered();
    this.reported = undefined;
  }

  /** Stops using these connections. Queries on them are repeated on the primary. */
  private giveUp(pools: Pools, error: unknown): void {
    if (!pools.isOpen) return;
    void closePools(pools);
    this.lost(error);
  }

  /** Lets queries go to the primary, and determines when the replica is tried again. */
  private lost(error: unknown): void {
    if (this.closed) return;
    this.pools = undefined;
    this.error = error;
    this.pauseMs = Math.min(Math.max(MIN_PAUSE_MS, this.pauseMs * 2), MAX_PAUSE_MS);
    // Many processes lose a replica at the same moment, and should not all return at the same
    // moment.
    this.nextCheckAt = performance.now() + this.pauseMs * (0.75 + Math.random() / 2);
    const failure = error instanceof ReplicaRefusedError ? 'refused' : 'away';
    // A server that is refused stays refused until an operator acts, so the log must name it. A
    // refused server that is also away changes nothing for an operator.
    if (this.reported === undefined || (this.reported === 'away' && failure === 'refused')) {
      this.reported = failure;
      this.events.failed(error);
    }
  }
}

/**
 * Creates a view of a database whose queries use the replica. All other methods of the view are
 * those of the database.
 */
export function throughReplica(database: Database, replica: ReadReplica): Database {
  const view = Object.create(database) as Database;
  view.query = (statement, values) =>
    replica.query('short', statement.text(database.schema, ''), values, () => database.query(statement, values));
  view.read = (text, values) => replica.query('long', text, values, () => database.read(text, values));
  return view;
}

/** Rejects when a server does not answer a check in time. */
async function soon<T>(work: Promise<T>): Promise<T> {
  if ((await within(CHECK_MS, work)) === 'late') throw new Error(`timeout: no answer within ${CHECK_MS} ms`);
  return work;
}

function closePools(pools: Pools): Promise<unknown> {
  pools.isOpen = false;
  pools.gate.abort(new Error('the read replica is no longer in use'));
  return Promise.all([pools.long, pools.short, pools.checks].map((pool) => pool.close())).catch(ignore);
}
