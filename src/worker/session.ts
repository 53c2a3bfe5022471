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

/** How long a new session waits for its lock. */
const LOCK_PATIENCE_MS = 500;
const RETRY_MS = 200;
const GOODBYE_TRIES = 3;

/** What a session needs to know of its worker. */
export interface SessionOptions {
  readonly ttlMs: number;
  readonly deploymentId: string;
  /** What the worker claims, for others to know which runs nobody can execute. */
  readonly serves: readonly DispatchKey[];
  /** The session is gone: whoever took it over has our runs. */
  readonly lost: (id: string) => void;
  /** Another server answers than the one that the session was last seen on. */
  readonly moved: () => void;
  readonly failed: (error: unknown) => void;
}

/**
 * This process's right to own runs: one row, renewed at a third of its time to live, however many runs it owns. Where there is a direct connection,
 * it also holds a lock whose absence tells others at once that the process has died.
 */
export class Session {
  private current: SessionFence | undefined;
  private opening: Promise<SessionFence> | undefined;
  /** An attempt to make it failed, but its row may be there. */
  private doubtful: string | undefined;
  private closed = false;
  private timer: NodeJS.Timeout | undefined;
  /** The session whose lock is asked for: it is, before the session is made. */
  private lockId: string | undefined;
  private holdsLock = false;
  /** The direct connection did not answer a heartbeat: the next one takes another, until the direct one has been made anew. */
  private isDirectMute = false;
  private isBeating = false;
  private beatAgain = false;
  /** The renewal under way, or the last one. */
  private beats: Promise<void> = Promise.resolve();
  /** Others take this process for dead unless the next renewal comes at once. */
  private isUrgent = false;
  /** When the row was last made or renewed, of performance.now(): the moment at which that was asked for. */
  private renewedAt = Number.NEGATIVE_INFINITY;
  /** Until when the row must not expire although nobody renews it, of performance.now(). */
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

  /** With what every write for the session's runs goes; another object as soon as anything of it changes. */
  get fence(): SessionFence | undefined {
    return this.current;
  }

  /** Whether it cannot have expired. */
  get isFresh(): boolean {
    return performance.now() - this.renewedAt < this.options.ttlMs;
  }

  /** @throws ClosedError after `close`, and what the database says */
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
    // First the lock: of a process that dies in the middle of this, others see at once that it is gone. A connection that is mute must not keep us from working.
    if (this.direct) await within(LOCK_PATIENCE_MS, this.hold(id));
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
    // The direct connection may have come or gone meanwhile.
    if (!this.holdsLock) void this.lock();
    if (this.holdsLock !== holdsLock) void this.beat();
    return fence;
  }

  /**
   * Has the row expire so much later where no lock shows that this process lives: what is executed now has been lost before, and may block the event loop for longer
   * than the time to live.
   */
  async outlive(ms: number): Promise<void> {
    if (this.holdsLock) return;
    this.outlivesUntil = performance.now() + ms;
    await this.beat();
  }

  /** What it owns has been found on this server. */
  moveTo(server: string): SessionFence {
    if (!this.current) throw new Error('there is no session');
    this.current = { id: this.current.id, server };
    return this.current;
  }

  /** The direct connection is there again. */
  async lock(): Promise<void> {
    const { id } = this;
    this.isDirectMute = false;
    if (!id || !this.direct) return;
    await this.hold(id);
    if (this.holdsLock) await this.beat();
  }

  /** Tries to take the lock again. The server may not have noticed yet that an old connection is gone, and holds the lock for that one. */
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
   * Says in the row that the lock is gone, before another process concludes that this one is. Resolves when the row says so, or could not be
   * reached; then the connection that held the lock may end.
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

  /** Says goodbye: what it owns is due for others at once. */
  async close(): Promise<void> {
    this.closed = true;
    // One that is being made must not be left behind.
    await this.opening?.catch(() => undefined);
    const id = this.id ?? this.doubtful;
    this.drop();
    if (!id) return;
    for (let tries = 1; ; tries++) {
      try {
        return void (await closeSession(this.database, id));
      } catch (error) {
        // Others will notice that it has expired.
        if (tries === GOODBYE_TRIES) return this.options.failed(error);
        await sleep(RETRY_MS);
      }
    }
  }

  private schedule(pause = this.options.ttlMs / 3): void {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => void this.beat(), pause);
  }

  /** Renews the row, and sees to the next renewal. What changes during a renewal is written by another one right after it. */
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
      // The time to live is running: try again soon.
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
    // An answer that never comes must not keep us from asking again on another connection.
    if ((await within(this.options.ttlMs / 3, asked)) === 'late') {
      this.isDirectMute = true;
      throw new Error('no answer');
    }
    if (answer) {
      this.clock.sync(answer.now, sentAt);
      this.renewedAt = sentAt;
      if (this.id === id && this.current?.server !== answer.server) this.options.moved();
    } else if (this.id === id) this.options.lost(id);
  }

  /** The connections that a renewal tries. */
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
