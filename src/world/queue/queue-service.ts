import type { Database } from '../../store/database.js';
import type { QueueHandler, QueueOptions } from '../contract.js';
import type { Kit } from '../kit.js';
import { baseUrlOf, type WorldSettings } from '../options.js';
import { MessageStore } from '../store/message-store.js';
import { createHandler } from './handler.js';
import { Poller } from './poller.js';
import { kindOf, runOf } from './queue-name.js';
import { Recovery } from './recovery.js';

/** Parts that the queue needs. */
export interface QueueParts {
  readonly database: Database;
  readonly kit: Kit;
  readonly settings: WorldSettings;
  /** Prepares the schema. */
  readonly ready: () => Promise<void>;
  readonly warn: (text: string, error: unknown) => void;
}

/** The queue of a World: stores messages, and delivers them to the kit's routes. */
export class QueueService {
  private readonly store: MessageStore;
  private readonly poller: Poller;
  private readonly recovery: Recovery;

  constructor(private readonly parts: QueueParts) {
    const { database, settings, warn } = parts;
    const { deploymentId, concurrency, pollIntervalMs, recoverAfterMs } = settings;
    this.store = new MessageStore(database);
    this.poller = new Poller(this.store, { deploymentId, concurrency, pollIntervalMs, warn, baseUrl: () => baseUrlOf(settings) });
    const enqueue = (workflowName: string, runId: string, idempotencyKey: string): Promise<unknown> =>
      this.add(`${workflowPrefix()}${workflowName}`, { runId }, { idempotencyKey });
    this.recovery = new Recovery(database, { deploymentId, recoverAfterMs, warn, enqueue });
  }

  /** Stores a message, and wakes the poller of this process. */
  async add(queue: string, message: unknown, options: QueueOptions = {}): Promise<{ messageId: string }> {
    if (kindOf(queue) === undefined) throw this.invalid(`${JSON.stringify(queue)} is not the name of a queue of the kit`);
    const { idempotencyKey, delaySeconds = 0, headers, deploymentId = this.parts.settings.deploymentId } = options;
    if (typeof delaySeconds !== 'number' || !(delaySeconds >= 0)) throw this.invalid('delaySeconds must be a number of seconds');
    if (message === undefined) throw this.invalid('the message is missing');
    const runId = runOf(message);
    const { messageId } = await this.store.enqueue({ queue, deploymentId, body: message, runId, idempotencyKey, headers, delaySeconds });
    this.poller.wake(delaySeconds * 1_000);
    return { messageId };
  }

  createHandler(prefix: string, handler: QueueHandler): (request: Request) => Promise<Response> {
    return createHandler(prefix, handler, {
      store: async () => {
        await this.parts.ready();
        return this.store;
      },
      takePushed: undefined,
      putOff: async (_message, seconds) => this.poller.wake(seconds * 1_000),
      warn: this.parts.warn,
    });
  }

  /** Begins to deliver messages. */
  start(): void {
    this.poller.start();
    this.recovery.start();
  }

  /** Claims nothing more. Resolves when the deliveries of this process have ended. */
  async stop(): Promise<void> {
    await Promise.all([this.poller.stop(), this.recovery.stop()]);
  }

  private invalid(text: string): Error {
    return new this.parts.kit.errors.WorkflowWorldError(text, { status: 400 });
  }
}

/** Prefix of the queues of workflows, as the kit makes it. */
function workflowPrefix(): string {
  const namespace = process.env.WORKFLOW_QUEUE_NAMESPACE;
  return namespace ? `__${namespace}_wkf_workflow_` : '__wkf_workflow_';
}
