import { createHash } from 'node:crypto';

import { clearTimeout, setTimeout } from '../../core/timers.js';
import type { Database } from '../../store/database.js';
import { DirectConnection } from '../../store/direct-connection.js';
import { letProcessEnd } from '../../store/own-client.js';

/** Longest text in a notification. */
const MAX_KEY_LENGTH = 255;

/** A wait for a signal. */
export interface SignalWait {
  /** Resolves after the signal, after the pause, and when the wait is cancelled. Never rejects. */
  readonly promise: Promise<void>;
  cancel(): void;
}

/**
 * Tells readers that a stream has changed: those of this process at once, those of others by
 * NOTIFY. The connection opens with the first use of a stream. A signal only shortens a wait, so a
 * lost one does no harm.
 */
export class StreamSignals {
  private readonly waiting = new Map<string, Set<() => void>>();
  private readonly direct: DirectConnection | undefined;

  /** @param database undefined when connections cannot listen, as behind a pooler */
  constructor(database: Database | undefined) {
    const wakeAll = (): void => this.wakeAll();
    this.direct =
      database &&
      new DirectConnection(unreferenced(database), {
        noticed: ({ streams = [] }) => {
          for (const key of streams) this.wake(key);
        },
        // Signals were lost while there was no connection.
        connected: wakeAll,
        lost: () => Promise.resolve(),
        // Readers poll without a connection, so its failures concern nobody.
        receivesNothing: () => undefined,
        unreachable: () => undefined,
        failed: () => undefined,
      });
  }

  /** True when signals of other processes arrive. */
  get isListening(): boolean {
    return this.direct?.isConnected === true;
  }

  /** Begins to listen, once. */
  start(): void {
    void this.direct?.start();
  }

  /** Wakes the readers of a stream in all processes. */
  send(name: string): void {
    const key = keyOf(name);
    this.wake(key);
    if (!this.direct) return;
    // The first signal of a process waits for its connection.
    void this.direct.start().then(() => this.direct?.notify({ streams: [key] }));
  }

  /**
   * Waits for a signal about a stream, or for some time. A caller begins to wait before it reads,
   * so that it misses nothing.
   */
  wait(name: string, pauseMs: number, signal: AbortSignal): SignalWait {
    const key = keyOf(name);
    let cancel = (): void => undefined;
    const promise = new Promise<void>((resolve) => {
      const set = this.waiting.get(key) ?? new Set();
      const done = (): void => {
        clearTimeout(timer);
        signal.removeEventListener('abort', done);
        set.delete(done);
        if (set.size === 0) this.waiting.delete(key);
        resolve();
      };
      const timer = setTimeout(done, pauseMs);
      signal.addEventListener('abort', done);
      set.add(done);
      this.waiting.set(key, set);
      cancel = done;
    });
    return { promise, cancel };
  }

  /** Wakes all readers, and ends the connection. */
  async stop(): Promise<void> {
    this.wakeAll();
    await this.direct?.stop();
  }

  private wakeAll(): void {
    for (const key of this.waiting.keys()) this.wake(key);
  }

  private wake(key: string): void {
    for (const done of this.waiting.get(key) ?? []) done();
  }
}

/**
 * View of a pool whose direct connection does not keep the process alive: a script may read a
 * stream without closing the World.
 */
function unreferenced(database: Database): Database {
  const directClient = (url?: string): ReturnType<Database['directClient']> => {
    const client = database.directClient(url);
    client.once('connect', () => letProcessEnd(client));
    return client;
  };
  return Object.create(database, { directClient: { value: directClient } }) as Database;
}

/** Text of a stream in a notification, whose length is limited. */
function keyOf(name: string): string {
  return name.length > 0 && name.length <= MAX_KEY_LENGTH ? name : createHash('sha256').update(name).digest('hex');
}
