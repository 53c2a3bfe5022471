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

/** Milliseconds that opening a session waits for its lock. */
const LOCK_TIMEOUT_MS = 500;
const RETRY_MS = 200;
const GOODBYE_TRIES = 3;

/** Settings of a session, and callbacks of its worker. */
export interface SessionOptions {
  readonly ttlMs: number;
  readonly deploymentId: string;
  /**
   * Workflows that the worker claims. They are written to the session's row, so that other
   * processes see which runs no process can execute.
   */
  readonly serves: readonly DispatchKey[];
  /** Called when other processes have taken over the session and its runs. */
  readonly lost: (id: string) => void;
  /** Called when a heartbeat is answered by another server than before. */
  readonly moved: () => void;
  readonly failed: (error: unknown) => void;
}

/**
 * The right of this process to own runs: one row in the database, however many runs the session
 * owns. The row is renewed after each third of its time to live. With a direct connection the
 * session also holds a lock. When the process dies, the server frees the lock, and other processes
 * notice the death at once.
 */
export class Session {
  private current: SessionFence | undefined;
  private opening: Promise<SessionFence> | undefined;
  /**
   * Id of a session whose opening failed. Its row may exist, because only the answer may have been
   * lost. The next attempt to open a session uses this id.
   */
  private doubtful: string | undefined;
  private closed = false;
  private timer: NodeJS.Timeout | undefined;
  /** Id of the session that the lock belongs to. Set before the session is opened. */
  private lockId: string | undefined;
  private holdsLock = false;
  /**
   * True when the direct connection did not answer a heartbeat. Heartbeats then use the pool until
   * the direct connection has been opened again.
   */
  private isDirectMute = false;
  private isBeating = false;
  private beatAgain = false;
  /** Promise of the current renewal, or of the last one. */
  private beats: Promise<void> = Promise.resolve();
  /**
   * True when the next renewal must not wait until a connection has been opened. Until the renewal,
   * other processes may consider this process dead, because its lock is missing.
   */
  private isUrgent = false;
  /**
   * Time at which the last successful insert or renewal of the row was sent, by performance.now().
   */
  private renewedAt = Number.NEGATIVE_INFINITY;
  /** Time until which the row must stay valid without a renewal, by performance.now(). */
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
   * The fence that every write for the session's runs carries. Compare fences by identity: a new
   * session and a new server each create a new object.
   */
  get fence(): SessionFence | undefined {
    return this.current;
  }

  /** True when the row cannot have expired. */
  get isFresh(): boolean {
    return performance.now() - this.renewedAt < this.options.ttlMs;
  }

  /**
   * Opens a session and returns its fence.
   *
   * @throws ClosedError after `close`, or an error of the database
   */
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
    // Take the lock before the row exists: if this process dies after the insert, others notice it
    // at once. The time limit lets the worker start although the direct connection does not answer.
    if (this.direct) await within(LOCK_TIMEOUT_MS, this.hold(id));
    const holdsLock = this.holdsLock;
    const askedAt = performance.now();
    const { now, server, listened } = await openSession(this.database, {
      id,
      host: hostname(),
      pid: process.pid,
      deploymentId,
      ttlMs,
      holdsLock,
      serves,
    });
    this.clock.sync(now, askedAt);
    this.database.listened.refresh(listened);
    const fence = { id, server };
    this.doubtful = undefined;
    this.current = fence;
    this.renewedAt = askedAt;
    this.schedule();
    // The direct connection may have been opened or lost while the session was being opened.
    if (!this.holdsLock) void this.lock();
    if (this.holdsLock !== holdsLock) void this.beat();
    return fence;
  }

  /**
   * Keeps the row valid for this long without a renewal. Does nothing while the session holds its
   * lock, because the lock shows that this process lives. Needed for runs that were lost before:
   * they may block the event loop for longer than the time to live.
   */
  async outlive(ms: number): Promise<void> {
    if (this.holdsLock) return;
    this.outlivesUntil = performance.now() + ms;
    await this.beat();
  }

  /**
   * Continues the session on another server. The caller has checked that no commit is missing
   * there.
   */
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
   * Tries to take the lock again, because the server may have held the lock for an old, lost
   * connection until now.
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
   * Records in the session's row that this process no longer holds the lock. Otherwise other
   * processes would conclude from the missing lock that this process died. Resolves when the row
   * has been written, or the attempt has failed. Only then may the connection that holds the lock
   * end.
   */
  async unlock(): Promise<void> {
    if (!this.holdsLock) return;
    this.holdsLock = false;
    this.isUrgent = true;
    await this.beat();
  }

  /** Drops a session that other processes have taken over. */
  drop(): void {
    clearTimeout(this.timer);
    this.current = undefined;
    this.lockId = undefined;
    this.holdsLock = false;
  }

  /** Deletes the session's row, so that other processes may claim its runs at once. */
  async close(): Promise<void> {
    this.closed = true;
    // Wait for a session that is being opened, so that its row is deleted too.
    await this.opening?.catch(() => undefined);
    const id = this.id ?? this.doubtful;
    this.drop();
    if (!id) return;
    for (let tries = 1; ; tries++) {
      try {
        return void (await closeSession(this.database, id));
      } catch (error) {
        // Give up: other processes will take over the runs when the session has expired.
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
   * Renews the row, and schedules the next renewal. A call during a renewal causes one more renewal
   * right after it, which writes what has changed meanwhile.
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
      // Try again sooner than usual, because the row expires soon.
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
    // No answer in time: the next heartbeat must use another connection.
    if ((await within(this.options.ttlMs / 3, asked)) === 'late') {
      this.isDirectMute = true;
      throw new Error('the database did not answer the heartbeat in time');
    }
    if (answer) {
      this.clock.sync(answer.now, sentAt);
      this.database.listened.refresh(answer.listened);
      this.renewedAt = sentAt;
      if (this.id === id && this.current?.server !== answer.server) this.options.moved();
    } else if (this.id === id) this.options.lost(id);
  }

  /** Returns the connections on which a renewal is tried, in this order. */
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
