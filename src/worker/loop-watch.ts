import { performance } from 'node:perf_hooks';

import { clearInterval, setInterval } from '../core/timers.js';
import { lastBegunBody } from '../engine/attempt.js';

const TICK_MS = 500;
const WARN_AGAIN_MS = 10_000;
/** Maximum number of steps that one warning names. */
const MAX_NAMED_STEPS = 5;

/** A step body that is being executed. */
export interface Body {
  readonly runId: string;
  readonly stepKey: string;
  /** Number of the attempt, from 1. */
  readonly attempt: number;
}

/**
 * Reports when the event loop was blocked, and names the step bodies that may have blocked it. A
 * blocked process neither renews its session nor claims runs nor answers requests. Without a direct
 * connection, other processes then consider the process dead.
 */
export class LoopWatch {
  private timer: NodeJS.Timeout | undefined;
  private tickedAt = 0;
  private warnedAt = Number.NEGATIVE_INFINITY;

  constructor(
    /** Shortest block that is reported, in milliseconds. */
    private readonly minMs: number,
    private readonly bodies: () => Iterable<Body>,
    private readonly warn: (message: string) => void,
    private readonly stalled: (seconds: number) => void,
  ) {}

  start(): void {
    this.tickedAt = performance.now();
    this.timer = setInterval(() => this.tick(), TICK_MS).unref();
  }

  stop(): void {
    clearInterval(this.timer);
  }

  private tick(): void {
    const now = performance.now();
    const blockedMs = now - this.tickedAt - TICK_MS;
    this.tickedAt = now;
    // Include the body that began last, even if it has ended: a body that blocks the loop may end
    // before this timer fires.
    const begun = lastBegunBody();
    if (blockedMs < this.minMs) return;
    this.stalled(blockedMs / 1_000);
    if (now - this.warnedAt < WARN_AGAIN_MS) return;
    this.warnedAt = now;
    const named = new Set([...(begun ? [begun] : []), ...this.bodies()].map(({ runId, stepKey }) => `step "${stepKey}" of run "${runId}"`));
    const [first, ...others] = named;
    const who = first ?? 'code outside of steps';
    const more = others.length === 0 ? '' : `, or by one of ${others.length} others: ${others.slice(0, MAX_NAMED_STEPS).join(', ')}`;
    this.warn(
      `worker: the event loop was blocked for ${(blockedMs / 1_000).toFixed(1)} s, most likely by ${who}${more}. ` +
        'Do long computations in a worker thread, or yield to the event loop now and then',
    );
  }
}
