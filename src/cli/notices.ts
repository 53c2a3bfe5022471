import { randomUUID } from 'node:crypto';

import { DatabaseClock } from '../core/clock.js';
import type { DueRun } from '../core/run.js';
import type { EndedElsewhere, RunNotices } from '../core/run-notices.js';
import { Admissions } from '../store/admissions.js';
import type { Database } from '../store/database.js';
import { channelOf, NoticeBatch, type Notice } from '../store/notifications.js';
import { notifyByPool } from '../store/sql/connection-probes.js';

/**
 * Announces changes of runs to the processes that execute them. Sends the notifications through the
 * pool, because a command makes no direct connection. A lost notification does no harm.
 */
export class PoolNotices implements RunNotices {
  private readonly self = randomUUID();
  private readonly sending = new Set<Promise<void>>();
  /** Admits runs of queues with limits. */
  readonly admissions: Admissions;

  constructor(private readonly database: Database) {
    const ignore = (): void => undefined;
    this.admissions = new Admissions(database, new DatabaseClock(), { due: (runs) => this.due(runs), failed: ignore });
  }

  async due(runs: readonly DueRun[]): Promise<void> {
    const now = runs.filter(({ wakeAt }) => wakeAt === undefined);
    const later = runs.flatMap(({ wakeAt }) => wakeAt ?? []);
    await this.send({ ...(now.length > 0 ? { due: now } : {}), ...(later.length > 0 ? { wakeAt: Math.min(...later) } : {}) });
  }

  /** Announces the next time at which a schedule needs attention. */
  scheduled(at: number): void {
    void this.send({ wakeAt: at });
  }

  /** Announces that an event waits to be dispatched. */
  emitted(): void {
    void this.send({ emitted: true });
  }

  messaged(runIds: readonly string[]): void {
    void this.send({ messages: runIds });
  }

  endedElsewhere(runs: readonly EndedElsewhere[]): void {
    void this.send({ ended: runs.map(({ id }) => id) });
  }

  placeFreed(queue: string, key: string): void {
    this.admissions.placeFreed(queue, key);
  }

  /** Resolves when every notification has been sent. */
  async sent(): Promise<void> {
    await this.admissions.settled();
    await Promise.all(this.sending);
  }

  private send(notice: Notice): Promise<void> {
    const batch = new NoticeBatch();
    batch.add(notice);
    const channel = channelOf(this.database.schemaName);
    const sends = batch.take(this.self).map((payload) => notifyByPool(this.database, channel, payload));
    const sent = Promise.all(sends).then(
      () => undefined,
      () => undefined,
    );
    this.sending.add(sent);
    return sent.finally(() => this.sending.delete(sent));
  }
}
