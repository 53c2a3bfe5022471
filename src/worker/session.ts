import { performance } from 'node:perf_hooks';
import { hostname } from 'node:os';

import { clearTimeout, setTimeout, sleep } from '../core/timers.js';
import type { DatabaseClock } from '../core/clock.js';
import { ClosedError } from '../core/errors/index.js';
import type { DispatchKey } from '../core/run.js';
import { newSessionId } from '../core/ids.js';
import { within } from '../core/async.js';
import type { Database } from '../store/database.js';
import type { DirectConnection } from '../store/direct-connection.js';
import type { SessionFence } from '../store/session-fence.js';
import { closeSession, heartbeat, openSession, type Heartbeat, type QuickExecutor } from '../store/sql/sessions.js';

/** Milliseconds that a new session waits for its lock. */
const LOCK_TIMEOUT_MS = 500;
const RETRY_MS = 200;
const GOODBYE_TRIES = 3;

/** Settings of a session, and callbacks of its worker. */
export interface SessionOptions {
  readonly ttlMs: number;
  readonly deploymentId: string;
  /** Workflows that the worker claims. Shows other processes which runs nobody can execute. */
  readonly serves: readonly DispatchKey[];
  /** The session was taken over, and its runs with it. */
  readonly lost: (id: string) => void;
  /** Another server answers than the one that the session was last seen on. */
  readonly moved: () => void;
  readonly failed: (error: unknown) => void;
}

/**
 * The right of this process to own runs: one row, renewed at a third of its time to live, however
 * many runs the session owns. With a direct connection the session also holds a lock. When the
 * process dies the server frees the lock, and other processes see at once that it is gone.
 */
export class Session {
  private current: SessionFence | undefined;
  private opening: Promise<SessionFence> | undefined;
  /** Id of a session whose opening failed, but whose row may exist. */
  private doubtful: string | undefined;
  private closed = false;
  private timer: NodeJS.Timeout | undefined;
  /** Id of the session that the lock is for. Set before the session is opened. */
  private lockId: string | undefined;
  private holdsLock = false;
  /**
   * True when the direct connection did not answer a heartbeat. Further heartbeats use another
   * connection until the direct one has been opened again.
   */
  private isDirectMute = false;
  private isBeating = false;
  private beatAgain = false;
  /** The renewal in flight, or the last one. */
  private beats: Promise<void> = Promise.resolve();
  /**
   * True when other processes would take this one for dead unless the next renewal is sent at once.
   */
  private isUrgent = false;
  /**
   * Time at which the last successful insert or renewal of the row was sent, by performance.now().
   */
  private renewedAt = Number.NEGATIVE_INFINITY;
  /** Time before which the row must not expire although nobody renews it, by performance.now(). */
  private outlivesUntil = Number.NEGATIVE_INFINITY;

  constructor(
    private readonly database: Database,
    private readonly clock: DatabaseClock,
    private readonly direct: DirectConnection | undefined,
    private readonly options: SessionOptions,
  ) {}

  get id(): string | undefined {
    return this.current?.id;
  }

  /**
   * The fence that every write for the session's runs carries. Another object after each change of
   * the session.
   */
  get fence(): SessionFence | undefined {
    return this.current;
  }

  /** True when the row cannot have expired. */
  get isFresh(): boolean {
    return performance.now() - this.renewedAt < this.options.ttlMs;
  }

  /** @throws ClosedError after `close`, and errors of the database */
  open(): Promise<SessionFence> {
    if (this.closed) return Promise.reject(new ClosedError());
    this.opening ??= this.make().finally(() => (this.opening = undefined));
    return this.opening;
  }

  private async make(): Promise<SessionFence> {
    const { ttlMs, deploymentId, serves } = this.options;
    const id = this.doubtful ?? newSessionId();
    this.doubtful = id;
    this.lockId = id;
    this.holdsLock = false;
    // First the lock: if the process dies in the middle of this, others see at once that it is
    // gone. A connection that does not answer must not keep the worker from starting.
    if (this.direct) await within(LOCK_TIMEOUT_MS, this.hold(id));
    const holdsLock = this.holdsLock;
    const askedAt = performance.now();
    const { now, server } = await openSession(this.database, {
      id,
      host: hostname(),
      pid: process.pid,
      deploymentId,
      ttlMs,
      holdsLock,
      serves,
    });
    this.clock.sync(now, askedAt);
    const fence = { id, server };
    this.doubtful = undefined;
    this.current = fence;
    this.renewedAt = askedAt;
    this.schedule();
    // The direct connection may have been opened or lost meanwhile.
    if (!this.holdsLock) void this.lock();
    if (this.holdsLock !== holdsLock) void this.beat();
    return fence;
  }

  /**
   * Makes the row expire later, where no lock shows that this process lives. For runs that were
   * lost before: they may block the event loop for longer than the time to live.
   */
  async outlive(ms: number): Promise<void> {
    if (this.holdsLock) return;
    this.outlivesUntil = performance.now() + ms;
    await this.beat();
  }

  /** Continues the session on another server, which has everything that the session owns. */
  moveTo(server: string): SessionFence {
    if (!this.current) throw new Error('there is no session');
    this.current = { id: this.current.id, server };
    return this.current;
  }

  /** Takes the lock on a direct connection that was opened again. */
  async lock(): Promise<void> {
    const { id } = this;
    this.isDirectMute = false;
    if (!id || !this.direct) return;
    await this.hold(id);
    if (this.holdsLock) await this.beat();
  }

  /**
   * Tries to take the lock again. The server may still hold the lock for an old connection that is
   * lost.
   */
  private async lockAgain(): Promise<void> {
    const { id } = this;
    if (!id || this.holdsLock || this.isDirectMute || !this.direct?.isConnected) return;
    await this.hold(id);
    if (this.holdsLock) await this.beat();
  }

  private async hold(id: string): Promise<void> {
    const isHeld = (await this.direct?.lock(id)) ?? false;
    if (this.lockId === id) this.holdsLock = isHeld;
  }

  /**
   * Writes to the row that the lock is gone, before another process concludes that this process
   * died. Resolves when the row is written, or could not be reached. The connection that held the
   * lock may end after that.
   */
  async unlock(): Promise<void> {
    if (!this.holdsLock) return;
    this.holdsLock = false;
    this.isUrgent = true;
    await this.beat();
  }

  /** Forgets a session that others have taken over. */
  drop(): void {
    clearTimeout(this.timer);
    this.current = undefined;
    this.lockId = undefined;
    this.holdsLock = false;
  }

  /** Deletes the session: its runs are due for other processes at once. */
  async close(): Promise<void> {
    this.closed = true;
    // A session that is being opened must not be left behind.
    await this.opening?.catch(() => undefined);
    const id = this.id ?? this.doubtful;
    this.drop();
    if (!id) return;
    for (let tries = 1; ; tries++) {
      try {
        return void (await closeSession(this.database, id));
      } catch (error) {
        // Other processes will notice that the session has expired.
        if (tries === GOODBYE_TRIES) return this.options.failed(error);
        await sleep(RETRY_MS);
      }
    }
  }

  private schedule(pause = this.options.ttlMs / 3): void {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => void this.beat(), pause);
  }

  /**
   * Renews the row, and schedules the next renewal. A change during a renewal is written by another
   * renewal right after it.
   */
  private beat(): Promise<void> {
    if (this.isBeating) this.beatAgain = true;
    else {
      this.isBeating = true;
      this.beats = this.renewAll();
    }
    return this.beats;
  }

  private async renewAll(): Promise<void> {
    let pause = this.options.ttlMs / 3;
    try {
      do {
        this.beatAgain = false;
        const { id } = this;
        if (!id) return;
        await this.renew(id);
      } while (this.beatAgain);
      void this.lockAgain();
    } catch (error) {
      // The row expires soon: try again before that.
      pause = RETRY_MS;
      this.options.failed(error);
    } finally {
      this.isBeating = false;
      if (this.current) this.schedule(pause);
    }
  }

  private async renew(id: string): Promise<void> {
    const sentAt = performance.now();
    let answer: Heartbeat | undefined;
    const asked = heartbeat(this.ways(), () => this.wanted(id, sentAt)).then((beat) => (answer = beat));
    // Without an answer the next heartbeat must be sent on another connection.
    if ((await within(this.options.ttlMs / 3, asked)) === 'late') {
      this.isDirectMute = true;
      throw new Error('the heartbeat was not answered in time');
    }
    if (answer) {
      this.clock.sync(answer.now, sentAt);
      this.renewedAt = sentAt;
      if (this.id === id && this.current?.server !== answer.server) this.options.moved();
    } else if (this.id === id) this.options.lost(id);
  }

  /** Connections that a renewal tries, in this order. */
  private ways(): QuickExecutor[] {
    const { database, direct, isUrgent } = this;
    this.isUrgent = false;
    const pool: QuickExecutor = (statement, values) =>
      isUrgent ? database.urgent(statement, values) : database.reserved(statement, values);
    return direct && !this.isDirectMute ? [(statement, values) => direct.execute(statement, values), pool] : [pool];
  }

  private wanted(id: string, sentAt: number): { id: string; ttlMs: number; holdsLock: boolean } {
    const ttlMs = this.options.ttlMs + (this.holdsLock ? 0 : Math.max(0, this.outlivesUntil - sentAt));
    return { id, ttlMs, holdsLock: this.holdsLock };
  }
}
