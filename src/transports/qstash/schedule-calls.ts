import type { Warn } from '../../core/log-fields.js';
import type { QStashApi } from './api.js';
import type { QStashSettings } from './settings.js';

/**
 * Asks QStash to call the application when a schedule is due, so that its run does not wait for the
 * sweep. A lost message does no harm: the sweep finds the schedule.
 */
export class ScheduleCalls {
  /** Due time for which the last message was sent. */
  private last: number | undefined;

  constructor(
    private readonly api: QStashApi,
    private readonly settings: QStashSettings,
    private readonly warn: Warn,
  ) {}

  /**
   * Sends a message for the next due time, unless the time is further away than a message may be
   * delayed. The sweep then sends the message later. Without a sweep, the message comes early, and
   * its call sends the next one.
   */
  async announce(at: number, now: number): Promise<void> {
    const { maxDelayMs, sweepCron } = this.settings;
    const dueInMs = Math.max(0, at - now);
    if (at === this.last || (dueInMs > maxDelayMs && sweepCron !== undefined)) return;
    const isInReach = dueInMs <= maxDelayMs;
    try {
      await this.api.callForSchedules(isInReach ? at : Math.ceil(now), Math.min(dueInMs, maxDelayMs));
      this.last = isInReach ? at : undefined;
    } catch (error) {
      this.warn('qstash-announce-failed', 'qstash: could not announce the next due time of a schedule; the sweep will find it', error);
    }
  }
}
