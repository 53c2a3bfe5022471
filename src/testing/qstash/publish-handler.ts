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

interface IntakeParts {
  readonly clock: Clock;
  readonly dice: FaultInjector;
  readonly queues: Queues;
  readonly flows: FlowControl;
  readonly events: EventLog;
  readonly ledger: DeliveryStats;
  readonly store: MessageStore;
  readonly add: (task: Task) => void;
  /**
   * Milliseconds for which a reordered message is held back; 0 when changing the order is enough.
   */
  readonly reorderWithin: number;
}

const MINUTE = 60_000;
/** Maximum number of messages, due at the same time, that may overtake a reordered message. */
const OVERTAKERS = 16;

/** Accepts messages, and decides when they are delivered. */
export class PublishHandler {
  private sequence = 0;

  constructor(private readonly parts: IntakeParts) {}

  accept(publication: Publication, callerIp: string): Receipt {
    const { clock, store, ledger } = this.parts;
    const now = clock.now();
    const known = store.idOf(publication.deduplicationId, now);
    if (known !== undefined) {
      ledger.count('deduplicated');
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
    this.enter(message, now);
    return { messageId: message.messageId };
  }

  private enter(message: Message, now: number): void {
    const { dice, queues, flows, events, ledger, store } = this.parts;
    store.add(message, now);
    ledger.count('published');
    events.add({ time: now, state: 'CREATED', message });
    if (message.queue !== undefined) queues.ensure(message.queue, now);
    if (message.flow) flows.configure(message.flow);
    if (dice.happens('lose')) {
      message.state = 'lost';
      ledger.count('lost');
    } else this.post(message, now);
  }

  private post(message: Message, now: number): void {
    const { dice, ledger, add, reorderWithin } = this.parts;
    const early = message.dueAt > now && dice.happens('early');
    const reordered = message.queue === undefined && dice.happens('reorder');
    const held = reordered && reorderWithin > 0 ? dice.upTo(reorderWithin) : 0;
    const dueAt = (early ? now : message.dueAt) + dice.lateness() + held;
    const order = message.sequence + (reordered ? dice.upTo(OVERTAKERS) + 0.5 : 0);
    add({ message, retried: 0, dueAt, order, kind: 'original' });
    if (!dice.happens('duplicate')) return;
    ledger.count('duplicated');
    const later = dice.upTo(2) === 1 ? 0 : dice.upTo(MINUTE);
    add({ message, retried: 0, dueAt: dueAt + later, order, kind: 'duplicate' });
  }
}

/** Returns the due time. `Upstash-Not-Before` takes precedence over `Upstash-Delay`. */
export function dueAtOf({ delay, notBefore }: Publication, now: number): number {
  return notBefore === undefined ? now + delay : Math.max(now, notBefore);
}
