import { randomUUID } from 'node:crypto';
import { notFound } from './api-error.js';
import { Cron } from './cron.js';
import { publicationView } from './message.js';
import type { Publication } from './publication.js';

interface Schedule {
  readonly scheduleId: string;
  readonly cron: Cron;
  readonly publication: Publication;
  readonly createdAt: number;
  paused: boolean;
  nextAt: number | undefined;
  lastAt: number | undefined;
}

/** Schedules, each of which publishes a message repeatedly. */
export class Schedules {
  private readonly byId = new Map<string, Schedule>();

  constructor(private readonly publish: (publication: Publication) => void) {}

  /**
   * Creates or replaces a schedule. Returns its id.
   *
   * @throws ApiError when the cron expression is invalid
   */
  upsert(scheduleId: string | undefined, cronText: string, publication: Publication, now: number): string {
    const id = scheduleId ?? `scd_${randomUUID()}`;
    const cron = new Cron(cronText);
    const createdAt = this.byId.get(id)?.createdAt ?? now;
    this.byId.set(id, {
      scheduleId: id,
      cron,
      // Omit the deduplication id: with the same id each time, QStash would drop all messages but
      // the first.
      publication: { ...publication, scheduleId: id, deduplicationId: undefined, notBefore: undefined },
      createdAt,
      paused: false,
      nextAt: cron.next(now),
      lastAt: undefined,
    });
    return id;
  }

  /**
   * Publishes the messages of schedules that are due. If several due times of a schedule have
   * passed, publishes only one message for them.
   */
  tick(now: number): void {
    for (const schedule of this.byId.values()) {
      if (schedule.paused || schedule.nextAt === undefined || schedule.nextAt > now) continue;
      schedule.lastAt = schedule.nextAt;
      schedule.nextAt = schedule.cron.next(now);
      this.publish(schedule.publication);
    }
  }

  nextTick(): number | undefined {
    let first: number | undefined;
    for (const { paused, nextAt } of this.byId.values()) {
      if (!paused && nextAt !== undefined && (first === undefined || nextAt < first)) first = nextAt;
    }
    return first;
  }

  /**
   * Pauses or resumes a schedule.
   *
   * @throws ApiError when there is no such schedule
   */
  setPaused(scheduleId: string, state: 'paused' | 'running', now: number): void {
    const schedule = this.get(scheduleId);
    schedule.paused = state === 'paused';
    schedule.nextAt = schedule.cron.next(now);
  }

  /**
   * Deletes a schedule.
   *
   * @throws ApiError when there is no such schedule
   */
  delete(scheduleId: string): void {
    this.get(scheduleId);
    this.byId.delete(scheduleId);
  }

  /**
   * Returns a schedule as the API shows it.
   *
   * @throws ApiError when there is no such schedule
   */
  view(scheduleId: string): object {
    return viewOf(this.get(scheduleId));
  }

  list(): object[] {
    return [...this.byId.values()].map(viewOf);
  }

  clear(): void {
    this.byId.clear();
  }

  private get(scheduleId: string): Schedule {
    const schedule = this.byId.get(scheduleId);
    if (!schedule) throw notFound(`schedule ${scheduleId}`);
    return schedule;
  }
}

function viewOf({ scheduleId, cron, publication, createdAt, paused, nextAt, lastAt }: Schedule): object {
  return {
    scheduleId,
    cron: cron.text,
    createdAt,
    destination: publication.url,
    ...publicationView(publication),
    retries: publication.retries,
    delay: publication.delayMs === 0 ? undefined : publication.delayMs / 1_000,
    isPaused: paused,
    nextScheduleTime: nextAt,
    lastScheduleTime: lastAt,
  };
}
