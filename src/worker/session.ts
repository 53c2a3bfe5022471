import { hostname } from 'node:os';

import type { DatabaseClock } from '../core/clock.js';
import type { Database } from '../store/database.js';
import type { DirectConnection } from '../store/direct-connection.js';
import { closeSession, heartbeat, openSession } from '../store/sql/sessions.js';

/** What a session needs to know of its worker. */
export interface SessionOptions {
  readonly ttlMs: number;
  readonly deploymentId: string;
  /** The session is gone: whoever took it over has our runs. */
  readonly lost: (id: string) => void;
  readonly failed: (error: unknown) => void;
}

/**
 * This process's right to own runs: one row, renewed at a third of its time to live, however many runs it owns. Where there is a direct connection,
 * it also holds a lock whose absence tells others at once that the process has died.
 */
export class Session {
  private current: string | undefined;
  private timer: NodeJS.Timeout | undefined;
  private holdsLock = false;
  private beating = false;

  constructor(
    private readonly database: Database,
    private readonly clock: DatabaseClock,
    private readonly direct: DirectConnection | undefined,
    private readonly options: SessionOptions,
  ) {}

  get id(): string | undefined {
    return this.current;
  }

  async open(): Promise<string> {
    const { ttlMs, deploymentId } = this.options;
    const id = await openSession(this.database, { host: hostname(), pid: process.pid, deploymentId, ttlMs });
    this.current = id;
    this.holdsLock = false;
    await this.lock();
    this.schedule();
    return id;
  }

  /** The direct connection is there again. */
  async lock(): Promise<void> {
    const id = this.current;
    if (!id || !this.direct) return;
    this.holdsLock = await this.direct.lock(id);
    if (this.holdsLock) await this.beat();
  }

  /** The direct connection, and the lock with it, is gone: say so before somebody concludes that we are. */
  unlock(): void {
    if (!this.holdsLock) return;
    this.holdsLock = false;
    void this.beat();
  }

  /** Forgets a session that others have taken over. */
  drop(): void {
    clearTimeout(this.timer);
    this.current = undefined;
    this.holdsLock = false;
  }

  /** Says goodbye: what it owns is due for others at once. */
  async close(): Promise<void> {
    const id = this.current;
    this.drop();
    if (id) await closeSession(this.database, id);
  }

  private schedule(): void {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => void this.beat().then(() => this.current && this.schedule()), this.options.ttlMs / 3);
  }

  private async beat(): Promise<void> {
    const id = this.current;
    if (!id || this.beating) return;
    this.beating = true;
    try {
      const sentAt = performance.now();
      const now = await heartbeat(this.database, id, this.options.ttlMs, this.holdsLock);
      if (now !== undefined) this.clock.sync(now, sentAt);
      else if (this.current === id) this.options.lost(id);
    } catch (error) {
      this.options.failed(error);
    } finally {
      this.beating = false;
    }
  }
}
