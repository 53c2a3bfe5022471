import type { Warn } from '../../core/log-fields.js';
import type { DurableMetrics } from '../../core/metrics/durable-metrics.js';
import { outside } from '../../core/outside.js';
import type { DueRun } from '../../core/run.js';
import type { Database } from '../../store/database.js';
import { QStashApi } from './api.js';
import { Publisher } from './publisher.js';
import type { QStashSettings } from './settings.js';
import { SweepCalls } from './sweep-calls.js';

type WaitUntil = NonNullable<QStashSettings['waitUntil']>;

/**
 * Access of this process to QStash: the client of its API, and the publisher that announces due
 * runs.
 */
export class QStashTransport {
  readonly publisher: Publisher;
  private readonly scheduleCalls: SweepCalls;
  private readonly queueCalls: SweepCalls;
  private scheduleUpdate: Promise<void> = Promise.resolve();

  private constructor(
    readonly api: QStashApi,
    readonly settings: QStashSettings,
    database: Database,
    metrics: DurableMetrics,
    private readonly warn: Warn,
  ) {
    this.publisher = new Publisher(database, api, settings, metrics, warn);
    this.scheduleCalls = new SweepCalls(api, settings, 'schedules', warn);
    this.queueCalls = new SweepCalls(api, settings, 'queues', warn);
  }

  /**
   * Creates the transport.
   *
   * @throws WorkflowConfigurationError when the SDK is not installed
   */
  static async create(settings: QStashSettings, database: Database, metrics: DurableMetrics, warn: Warn): Promise<QStashTransport> {
    const waitUntil = settings.waitUntil && withoutThrowing(settings.waitUntil, warn);
    return new QStashTransport(await QStashApi.create(settings), { ...settings, waitUntil }, database, metrics, warn);
  }

  due(runs: readonly DueRun[]): Promise<void> {
    return this.publisher.announce(runs);
  }

  /** Announces the next due time of a schedule, and does not wait for QStash. */
  scheduled(at: number, now: number): void {
    const announced = outside(() => this.scheduleCalls.announce(at, now));
    this.settings.waitUntil?.(announced);
  }

  /** Announces when a rate limit of a queue allows more runs, and does not wait for QStash. */
  queueOpens(at: number, now: number): void {
    const announced = outside(() => this.queueCalls.announceSoon(at, now));
    this.settings.waitUntil?.(announced);
  }

  /**
   * Starts to create or update the schedule of the sweep, and does not wait for the result. A
   * failure causes a warning and does not prevent the boot.
   */
  ensureSchedule(): void {
    const failed = (error: unknown): void =>
      this.warn('qstash-schedule-failed', 'qstash: could not create the schedule of the sweep', error);
    this.scheduleUpdate = this.updateSchedule().catch(failed);
    this.settings.waitUntil?.(this.scheduleUpdate);
  }

  private async updateSchedule(): Promise<void> {
    const before = await this.api.ensureSchedule();
    if (before === undefined) return;
    const { namespace, sweepUrl } = this.settings;
    this.warn(
      'qstash-schedule-changed',
      `qstash: changed the schedule "${namespace}-sweep", which called ${before} and now calls ${sweepUrl}. Give every application or stage that shares this QStash account its own qstash.namespace`,
    );
  }

  async close(): Promise<void> {
    await Promise.all([this.publisher.close(), this.scheduleUpdate]);
  }
}

/**
 * Wraps `waitUntil`, so that its errors only cause a warning. Some platforms throw when no request
 * is active, and the publisher can still send.
 */
function withoutThrowing(waitUntil: WaitUntil, warn: Warn): WaitUntil {
  return (promise) => {
    try {
      waitUntil(promise);
    } catch (error) {
      warn(
        'qstash-wait-until-failed',
        'qstash: waitUntil failed; the publisher still announces due runs, unless the platform freezes the process first',
        error,
      );
    }
  };
}
