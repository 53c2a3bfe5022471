import type { Database } from '../../store/database.js';
import type { QueueHandler, QueueOptions } from '../contract.js';
import type { Kit } from '../kit.js';
import { baseUrlOf, type WorldSettings } from '../options.js';
import { MessageStore, type StoredMessage } from '../store/message-store.js';
import type { Dispatcher } from './dispatcher.js';
import { headersFault } from './headers.js';
import { createHandler } from './handler.js';
import { LEASE_SECONDS, Leases } from './lease.js';
import { PollingDispatcher } from './polling-dispatcher.js';
import { QStashDispatcher } from './qstash.js';
import { kindOf, runOf } from './queue-name.js';
import { Recovery } from './recovery.js';
import { RetentionStore } from '../store/retention-store.js';
import { WorldRetention } from '../retention.js';

/** Milliseconds of QStash's call each minute that retention may take. */
const SWEEP_RETENTION_MS = 5_000;

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
  private readonly dispatcher: Dispatcher;
  private readonly leases = new Leases();

  constructor(private readonly parts: QueueParts) {
    const { database, settings, warn } = parts;
    const { deploymentId, concurrency, pollIntervalMs, recoverAfterMs, shutdownTimeoutMs } = settings;
    this.store = new MessageStore(database);
    const enqueue = (workflowName: string, runId: string, slot: string): Promise<void> => this.addLost(workflowName, runId, slot);
    const recovery = new Recovery(database, { deploymentId, recoverAfterMs, warn, enqueue });
    const { qstash, schema, retention: rule } = settings;
    const retention = rule && new WorldRetention(new RetentionStore(database), rule, warn);
    const sweep = async (): Promise<void> => {
      await recovery.sweepAll();
      await retention?.sweepFor(SWEEP_RETENTION_MS);
    };
    this.dispatcher = qstash
      ? new QStashDispatcher(this.store, { ...qstash, deploymentId, schema, sweep, warn })
      : new PollingDispatcher(
          this.store,
          { deploymentId, concurrency, pollIntervalMs, shutdownTimeoutMs, warn, baseUrl: () => baseUrlOf(settings) },
          retention ? [recovery, retention] : [recovery],
        );
  }

  /** Stores a message, and announces its delivery. */
  async add(queue: string, message: unknown, options: QueueOptions = {}): Promise<{ messageId: string }> {
    if (kindOf(queue) === undefined) throw this.invalid(`${JSON.stringify(queue)} is not the name of a queue of the kit`);
    const { idempotencyKey, delaySeconds = 0, headers, deploymentId = this.parts.settings.deploymentId } = options;
    if (typeof delaySeconds !== 'number' || !(delaySeconds >= 0)) throw this.invalid('delaySeconds must be a number of seconds');
    if (message === undefined) throw this.invalid('the message is missing');
    const fault = headersFault(headers);
    if (fault !== undefined) throw this.invalid(fault);
    for (const [name, value] of Object.entries({ idempotencyKey, deploymentId }))
      if (value !== undefined && typeof value !== 'string') throw this.invalid(`${name} must be a text`);
    const runId = runOf(message);
    const isReserved = delaySeconds === 0 && deploymentId === this.parts.settings.deploymentId && this.dispatcher.reserve?.() === true;
    const leaseSeconds = isReserved ? LEASE_SECONDS : undefined;
    let stored: StoredMessage | undefined;
    try {
      stored = await this.store.enqueue({ queue, deploymentId, body: message, runId, idempotencyKey, headers, delaySeconds, leaseSeconds });
    } finally {
      if (isReserved) this.dispatcher.use?.(stored?.claimed);
    }
    const { messageId, isNew } = stored;
    if (isNew && !isReserved)
      await this.dispatcher.announce({ id: messageId, queue, runId, headers: headers ?? {}, failures: 0, announced: 0 }, delaySeconds);
    return { messageId };
  }

  /** Gives a message to a run that has lost its own. */
  private async addLost(workflowName: string, runId: string, slot: string): Promise<void> {
    const queue = `${workflowPrefix()}${workflowName}`;
    const id = await this.store.enqueueLost(queue, { runId }, runId, slot);
    if (id !== undefined) await this.dispatcher.announce({ id, queue, runId, headers: {}, failures: 0, announced: 0 }, 0);
  }

  createHandler(prefix: string, handler: QueueHandler): (request: Request) => Promise<Response> {
    return createHandler(prefix, handler, {
      store: async () => {
        await this.parts.ready();
        return this.store;
      },
      dispatcher: this.dispatcher,
      leases: this.leases,
      warn: this.parts.warn,
    });
  }

  /** Begins to deliver messages. */
  start(): Promise<void> {
    return this.dispatcher.start();
  }

  /**
   * Claims nothing more. Resolves when the deliveries of this process have ended, or when
   * `shutdownTimeoutMs` is over.
   */
  async stop(): Promise<void> {
    await Promise.all([this.dispatcher.stop(), this.leases.end(this.parts.settings.shutdownTimeoutMs)]);
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
