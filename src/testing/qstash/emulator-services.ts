import { ManualClock, type RealClock } from './clock.js';
import { DeliveryAttempts } from './delivery-attempts.js';
import { DeadLetters } from './dead-letters.js';
import { Dispatcher } from './dispatcher.js';
import { ClockDriver, type ClockDriverOptions } from './clock-driver.js';
import { EventLog } from './event-log.js';
import type { FaultInjector } from './faults.js';
import { FlowControl } from './flow-control.js';
import { PublishHandler } from './publish-handler.js';
import { DeliveryStats } from './delivery-stats.js';
import type { Quota } from './limits.js';
import { isOver, type Message } from './message.js';
import { MessageStore } from './message-store.js';
import { Queues } from './queues.js';
import { Schedules } from './schedules.js';
import type { SigningKeys } from './signing-keys.js';

/** Real milliseconds for which a reordered message is held back. */
const REORDER_WITHIN = 100;

interface OfficeInput extends ClockDriverOptions {
  readonly clock: ManualClock | RealClock;
  readonly dice: FaultInjector;
  readonly quota: Quota;
  readonly keys: SigningKeys;
}

/** Services of the emulator, connected with each other. */
export class EmulatorServices {
  readonly clock: ManualClock | RealClock;
  readonly dice: FaultInjector;
  readonly quota: Quota;
  readonly keys: SigningKeys;
  readonly queues = new Queues();
  readonly flows = new FlowControl();
  readonly events = new EventLog();
  readonly ledger = new DeliveryStats();
  readonly store = new MessageStore();
  readonly deadLetters = new DeadLetters();
  readonly schedules: Schedules;
  readonly intake: PublishHandler;
  readonly dispatcher: Dispatcher;
  readonly driver: ClockDriver;

  constructor({ clock, dice, quota, keys, ...options }: OfficeInput) {
    [this.clock, this.dice, this.quota, this.keys] = [clock, dice, quota, keys];
    const { queues, flows, events, ledger, store, deadLetters } = this;
    const add = (task: Parameters<Dispatcher['add']>[0]): void => this.dispatcher.add(task);
    const reorderWithin = clock instanceof ManualClock ? 0 : REORDER_WITHIN;
    this.intake = new PublishHandler({ clock, dice, queues, flows, events, ledger, store, add, reorderWithin });
    this.schedules = new Schedules((publication) => this.intake.accept(publication, '127.0.0.1'));
    const courier = new DeliveryAttempts({ clock, dice, keys, queues, events, ledger, deadLetters, intake: this.intake, add });
    this.dispatcher = new Dispatcher({
      clock,
      queues,
      flows,
      parallelism: () => quota.parallelism,
      deliver: (task, signal) => courier.deliver(task, signal),
      tick: (now) => this.schedules.tick(now),
      nextTick: () => this.schedules.nextTick(),
    });
    this.driver = new ClockDriver(clock, this.dispatcher, options);
  }

  /** Cancels messages. An active delivery still takes place, but its result is ignored. */
  cancel(messages: readonly Message[]): number {
    const pending = messages.filter((message) => !isOver(message));
    for (const message of pending) {
      message.state = 'cancelled';
      this.queues.release(message);
      this.ledger.count('cancelled');
      this.events.add({ time: this.clock.now(), state: 'CANCELED', message });
    }
    return pending.length;
  }

  clear(): void {
    for (const part of [this.dispatcher, this.queues, this.flows, this.events, this.ledger, this.store, this.deadLetters, this.schedules]) {
      part.clear();
    }
  }
}
