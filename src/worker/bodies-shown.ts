import { setInterval, clearInterval } from '../core/timers.js';
import type { Database } from '../store/database.js';
import { showBodies, type ShownBody } from '../store/sql/show-bodies.js';
import type { Body } from './loop-watch.js';

const TICK_MS = 1_000;
/** Maximum number of step bodies that the session's row shows. */
const MAX_SHOWN_BODIES = 500;

/** The properties of the worker that this file uses. */
export interface BodiesSource {
  readonly sessionId: () => string | undefined;
  readonly bodies: () => Iterable<Body>;
  readonly now: () => number;
}

/**
 * Writes the step bodies that have been active for a second or more to the session's row, where
 * `handle.describe` reads them. Shorter bodies cause no statement, and there is at most one
 * statement a second.
 */
export class BodiesShown {
  private timer: NodeJS.Timeout | undefined;
  private seen = new Map<string, ShownBody>();
  /** Session and bodies of the last write. A write with the same values is skipped. */
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
      if (known && shown.length < MAX_SHOWN_BODIES) shown.push(known);
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
      // The next tick tries to write again.
    } finally {
      this.writing = false;
    }
  }
}
