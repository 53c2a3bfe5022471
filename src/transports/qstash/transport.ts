import type { DueRun } from '../../core/run.js';
import type { Database } from '../../store/database.js';
import { QStashApi } from './api.js';
import { Publisher } from './publisher.js';
import type { QStashSettings } from './settings.js';

type WaitUntil = NonNullable<QStashSettings['waitUntil']>;

/** This process's way to QStash. */
export class QStashTransport {
  readonly publisher: Publisher;
  private kept: Promise<void> = Promise.resolve();

  private constructor(
    readonly api: QStashApi,
    readonly settings: QStashSettings,
    database: Database,
    private readonly warn: (message: string, error?: unknown) => void,
  ) {
    this.publisher = new Publisher(database, api, settings, warn);
  }

  /** @throws WorkflowConfigurationError when the SDK is not installed */
  static async create(
    settings: QStashSettings,
    database: Database,
    warn: (message: string, error?: unknown) => void,
  ): Promise<QStashTransport> {
    const waitUntil = settings.waitUntil && quietly(settings.waitUntil, warn);
    return new QStashTransport(await QStashApi.create(settings), { ...settings, waitUntil }, database, warn);
  }

  due(runs: readonly DueRun[]): Promise<void> {
    return this.publisher.note(runs);
  }

  /** Has QStash call the sweep. Does not keep an application from booting. */
  keepSchedule(): void {
    this.kept = this.keep().catch((error: unknown) => this.warn('the schedule of the sweep could not be created', error));
    this.settings.waitUntil?.(this.kept);
  }

  private async keep(): Promise<void> {
    const before = await this.api.keepSchedule();
    if (before === undefined) return;
    const { namespace, sweepUrl } = this.settings;
    this.warn(
      `QStash's schedule "${namespace}-sweep" called ${before} until now, and calls ${sweepUrl} from now on. Another application or stage that shares this QStash needs a qstash.namespace of its own`,
    );
  }

  async close(): Promise<void> {
    await Promise.all([this.publisher.close(), this.kept]);
  }
}

/** Platforms refuse to wait where no request is under way, by throwing. What is under way goes on all the same. */
function quietly(waitUntil: WaitUntil, warn: (message: string, error: unknown) => void): WaitUntil {
  return (promise) => {
    try {
      waitUntil(promise);
    } catch (error) {
      warn('qstash.waitUntil failed; QStash is told all the same, unless the process is frozen before', error);
    }
  };
}
