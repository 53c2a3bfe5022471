import { setInterval, clearInterval } from '../core/timers.js';
import type { Database } from '../store/database.js';
import { showBodies, type ShownBody } from '../store/sql/show-bodies.js';
import type { Body } from './loop-watch.js';

const TICK_MS = 1_000;
/** The most bodies that a session shows. */
const MOST_SHOWN = 500;

/** What is needed of the worker. */
export interface BodiesSource {
  readonly sessionId: () => string | undefined;
  readonly bodies: () => Iterable<Body>;
  readonly now: () => number;
}

/**
 * Shows in the session's row the bodies that have been under way for a second or more, for `describe`. Shorter ones cost no statement, and each second
 * costs one at most.
 */
export class BodiesShown {
  private timer: NodeJS.Timeout | undefined;
  private seen = new Map<string, ShownBody>();
  /** What the row shows, and of which session. */
  private written = '';
  private writing = false;

  constructor(
    private readonly database: Database,
    private readonly source: BodiesSource,
  ) {}

  start(): void {
    this.timer = setInterval(() => void this.tick(), TICK_MS).unref();
  }

  stop(): void {
    clearInterval(this.timer);
  }

  private async tick(): Promise<void> {
    const before = this.seen;
    this.seen = new Map();
    const shown: ShownBody[] = [];
    for (const { runId, stepKey, attempt } of this.source.bodies()) {
      const key = JSON.stringify([runId, stepKey, attempt]);
      const known = before.get(key);
      this.seen.set(key, known ?? { runId, stepKey, attempt, since: Math.floor(this.source.now()) });
      if (known && shown.length < MOST_SHOWN) shown.push(known);
    }
    const sessionId = this.source.sessionId();
    if (sessionId === undefined || this.writing) return;
    const bodies = shown.length === 0 ? null : JSON.stringify(shown);
    const state = bodies === null ? '' : `${sessionId} ${bodies}`;
    if (state === this.written) return;
    this.writing = true;
    try {
      await showBodies(this.database, sessionId, bodies);
      this.written = state;
    } catch {
      // It is shown at the next tick, when the database answers.
    } finally {
      this.writing = false;
    }
  }
}
