import type { DueRun } from '../../core/run.js';
import type { Database } from '../../store/database.js';
import { QStashApi } from './api.js';
import { Publisher } from './publisher.js';
import type { QStashSettings } from './settings.js';

type WaitUntil = NonNullable<QStashSettings['waitUntil']>;

/**
 * Access of this process to QStash: the client of its API, and the publisher that announces due
 * runs.
 */
export class QStashTransport {
  readonly publisher: Publisher;
  private scheduleUpdate: Promise<void> = Promise.resolve();

  private constructor(
    readonly api: QStashApi,
    readonly settings: QStashSettings,
    database: Database,
    private readonly warn: (message: string, error?: unknown) => void,
  ) {
    this.publisher = new Publisher(database, api, settings, warn);
  }

  /**
   * Creates the transport.
   *
   * @throws WorkflowConfigurationError when the SDK is not installed
   */
  static async create(
    settings: QStashSettings,
    database: Database,
    warn: (message: string, error?: unknown) => void,
  ): Promise<QStashTransport> {
    const waitUntil = settings.waitUntil && withoutThrowing(settings.waitUntil, warn);
    return new QStashTransport(await QStashApi.create(settings), { ...settings, waitUntil }, database, warn);
  }

  due(runs: readonly DueRun[]): Promise<void> {
    return this.publisher.announce(runs);
  }

  /**
   * Starts to create or update the schedule of the sweep, and does not wait for the result. A
   * failure causes a warning and does not prevent the boot.
   */
  ensureSchedule(): void {
    this.scheduleUpdate = this.updateSchedule().catch((error: unknown) => this.warn('could not create the schedule of the sweep', error));
    this.settings.waitUntil?.(this.scheduleUpdate);
  }

  private async updateSchedule(): Promise<void> {
    const before = await this.api.ensureSchedule();
    if (before === undefined) return;
    const { namespace, sweepUrl } = this.settings;
    this.warn(
      `QStash's schedule "${namespace}-sweep" called ${before} until now; it calls ${sweepUrl} from now on. Give every application or stage that shares this QStash account its own qstash.namespace`,
    );
  }

  async close(): Promise<void> {
    await Promise.all([this.publisher.close(), this.scheduleUpdate]);
  }
}

/**
 * Wraps `waitUntil`, which throws on some platforms when no request is active. The publisher
 * continues to send anyway.
 */
function withoutThrowing(waitUntil: WaitUntil, warn: (message: string, error: unknown) => void): WaitUntil {
  return (promise) => {
    try {
      waitUntil(promise);
    } catch (error) {
      warn('qstash.waitUntil failed; due runs are still announced, unless the platform freezes the process first', error);
    }
  };
}
