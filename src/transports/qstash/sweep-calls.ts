import type { Warn } from '../../core/log-fields.js';
import type { QStashApi } from './api.js';
import type { SweepPart } from './message.js';
import type { QStashSettings } from './settings.js';

const FAILURES = {
  schedules: 'qstash: could not announce the next due time of a schedule; the sweep will find it',
  queues: 'qstash: could not announce when a rate limit allows more runs; the sweep will admit them',
} as const;

/**
 * Asks QStash to call a part of the sweep at a given time. Runs of due schedules, and runs that
 * wait for a rate limit, then need not wait for the next sweep. A lost message does no harm,
 * because the sweep does the same work.
 */
export class SweepCalls {
  /** Time for which the last message was sent. */
  private last: number | undefined;
  /** Times of the calls that `announceSoon` has asked for and that are still to come. */
  private readonly seconds = new Set<number>();

  constructor(
    private readonly api: QStashApi,
    private readonly settings: QStashSettings,
    private readonly part: SweepPart,
    private readonly warn: Warn,
  ) {}

  /**
   * Sends a message for a time, unless the time is further away than a message may be delayed. The
   * sweep then sends the message later. Without a sweep, the message comes early, and its call
   * sends the next one.
   */
  async announce(at: number, now: number): Promise<void> {
    const { maxDelayMs, sweepCron } = this.settings;
    const dueInMs = Math.max(0, at - now);
    if (at === this.last || (dueInMs > maxDelayMs && sweepCron !== undefined)) return;
    const isInReach = dueInMs <= maxDelayMs;
    try {
      await this.api.callSweep(this.part, isInReach ? at : Math.ceil(now), Math.min(dueInMs, maxDelayMs));
      this.last = isInReach ? at : undefined;
    } catch (error) {
      this.warn('qstash-announce-failed', FAILURES[this.part], error);
    }
  }

  /**
   * Sends a message for the first whole second from a time on, because QStash delays messages by
   * whole seconds. Sends none while an earlier message is on its way: its call announces the next
   * time.
   */
  async announceSoon(at: number, now: number): Promise<void> {
    const second = Math.ceil(at / 1_000) * 1_000;
    // A message may be delayed for a bounded time, and comes before a time that is further away.
    const call = Math.min(second, Math.floor((now + this.settings.maxDelayMs) / 1_000) * 1_000);
    for (const each of this.seconds) {
      if (each <= now) this.seconds.delete(each);
      else if (each <= call) return;
    }
    this.seconds.add(call);
    await this.announce(second, now);
  }
}
