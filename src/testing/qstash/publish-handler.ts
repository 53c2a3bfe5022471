import { randomBytes } from 'node:crypto';
import type { Clock } from './clock.js';
import type { Task } from './dispatcher.js';
import type { EventLog } from './event-log.js';
import type { FaultInjector } from './faults.js';
import type { FlowControl } from './flow-control.js';
import type { DeliveryStats } from './delivery-stats.js';
import type { MessageStore } from './message-store.js';
import type { Message } from './message.js';
import type { Publication } from './publication.js';
import type { Queues } from './queues.js';

export interface Receipt {
  readonly messageId: string;
  readonly deduplicated?: true;
}

interface PublishDependencies {
  readonly clock: Clock;
  readonly faults: FaultInjector;
  readonly queues: Queues;
  readonly flows: FlowControl;
  readonly events: EventLog;
  readonly stats: DeliveryStats;
  readonly store: MessageStore;
  readonly add: (task: Task) => void;
  /**
   * Maximum number of milliseconds for which a reordered message is held back. 0 with a manual
   * clock, where messages that are due at the same time change their order without a delay.
   */
  readonly reorderDelayMs: number;
}

const MINUTE_MS = 60_000;
/** Maximum number of messages, due at the same time, that may overtake a reordered message. */
const MAX_OVERTAKING = 16;

/** Accepts messages, and decides when they are delivered. */
export class PublishHandler {
  private sequence = 0;

  constructor(private readonly dependencies: PublishDependencies) {}

  accept(publication: Publication, callerIp: string): Receipt {
    const { clock, store, stats } = this.dependencies;
    const now = clock.now();
    const known = store.duplicateOf(publication.deduplicationId, now);
    if (known !== undefined) {
      stats.count('deduplicated');
      return { messageId: known, deduplicated: true };
    }
    const message: Message = {
      ...publication,
      messageId: `msg_${randomBytes(16).toString('base64url')}`,
      sequence: ++this.sequence,
      createdAt: now,
      dueAt: dueAtOf(publication, now),
      callerIp,
      state: 'pending',
      attempts: 0,
    };
    this.register(message, now);
    return { messageId: message.messageId };
  }

  private register(message: Message, now: number): void {
    const { faults, queues, flows, events, stats, store } = this.dependencies;
    store.add(message, now);
    stats.count('published');
    events.add({ time: now, state: 'CREATED', message });
    if (message.queue !== undefined) queues.ensure(message.queue, now);
    if (message.flow) flows.configure(message.flow);
    if (faults.happens('lose')) {
      message.state = 'lost';
      stats.count('lost');
    } else this.schedule(message, now);
  }

  private schedule(message: Message, now: number): void {
    const { faults, stats, add, reorderDelayMs } = this.dependencies;
    const early = message.dueAt > now && faults.happens('early');
    const reordered = message.queue === undefined && faults.happens('reorder');
    const heldBackMs = reordered && reorderDelayMs > 0 ? faults.upTo(reorderDelayMs) : 0;
    const dueAt = (early ? now : message.dueAt) + faults.latenessMs() + heldBackMs;
    const order = message.sequence + (reordered ? faults.upTo(MAX_OVERTAKING) + 0.5 : 0);
    add({ message, retried: 0, dueAt, order, kind: 'original' });
    if (!faults.happens('duplicate')) return;
    stats.count('duplicated');
    const laterMs = faults.upTo(2) === 1 ? 0 : faults.upTo(MINUTE_MS);
    add({ message, retried: 0, dueAt: dueAt + laterMs, order, kind: 'duplicate' });
  }
}

/**
 * Returns the time at which a message is due. `Upstash-Not-Before` takes precedence over
 * `Upstash-Delay`.
 */
export function dueAtOf({ delayMs, notBefore }: Publication, now: number): number {
  return notBefore === undefined ? now + delayMs : Math.max(now, notBefore);
}
