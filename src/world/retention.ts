import { performance } from 'node:perf_hooks';

import type { RetentionRule } from '../core/retention.js';
import { BackgroundService } from '../maintenance/background-service.js';
import { paced, roundPause } from '../maintenance/retention-pace.js';
import type { RetentionPage, RetentionStore } from './store/retention-store.js';

/** Longest pause, in milliseconds, after a round that leaves many rows alone. */
const MAX_ROUND_PAUSE_MS = 3_600_000;
/** Milliseconds by which each row that a round leaves alone lengthens the pause. */
const PAUSE_PER_ROW_LEFT_MS = 0.2;

/**
 * Removes ended runs of a World whose retention has passed, with their events and streams, and then
 * streams without a run. The rows are read in rounds, a page at a time. Several processes may do so
 * at once.
 */
export class WorldRetention extends BackgroundService {
  private readonly shortestMs: number;
  private readonly longestMs: number;
  private subject: 'runs' | 'streams' = 'runs';
  private after = '';
  private left = 0;
  private stopping = new AbortController();

  constructor(
    private readonly store: RetentionStore,
    private readonly rule: RetentionRule,
    private readonly warn: (text: string, error: unknown) => void,
  ) {
    super();
    const times = [rule.completed, rule.failed, rule.cancelled].filter((time) => time !== undefined);
    this.shortestMs = Math.min(...times);
    this.longestMs = Math.max(...times);
  }

  override async stop(): Promise<void> {
    this.stopping.abort();
    await super.stop();
  }

  /** Works through pages for some milliseconds, for a process without background work. */
  async sweepFor(limitMs: number): Promise<void> {
    const until = performance.now() + limitMs;
    while (performance.now() < until && (await this.work()) === 0);
  }

  protected async work(): Promise<number> {
    try {
      return await this.nextPage();
    } catch (error) {
      this.warn('runs of the World cannot be removed', error);
      return roundPause(this.shortestMs);
    }
  }

  /** Reads a page, and removes what has expired. Returns the pause before the next page. */
  private async nextPage(): Promise<number> {
    const { store, subject, after } = this;
    const { signal } = this.stopping;
    const isOfRuns = subject === 'runs';
    const page = await paced(signal, (): Promise<RetentionPage> =>
      isOfRuns ? store.scanRuns(after, this.rule, this.shortestMs) : store.scanStreams(after, this.longestMs),
    );
    for (let rest = page.expired; rest.length > 0 && !signal.aborted;)
      rest = await paced(signal, () => (isOfRuns ? store.removeRuns(rest) : store.removeStreams(rest)));
    this.left += page.left;
    this.after = page.after ?? '';
    if (page.after !== undefined) return 0;
    this.subject = isOfRuns ? 'streams' : 'runs';
    if (isOfRuns) return 0;
    const pauseMs = Math.min(Math.max(roundPause(this.shortestMs), this.left * PAUSE_PER_ROW_LEFT_MS), MAX_ROUND_PAUSE_MS);
    this.left = 0;
    return pauseMs;
  }
}
