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
import { hasEnded, type Message } from './message.js';
import { MessageStore } from './message-store.js';
import { Queues } from './queues.js';
import { Schedules } from './schedules.js';
import type { SigningKeys } from './signing-keys.js';

/** Maximum number of milliseconds of real time for which a reordered message is held back. */
const REORDER_DELAY_MS = 100;

interface EmulatorSettings extends ClockDriverOptions {
  readonly clock: ManualClock | RealClock;
  readonly faults: FaultInjector;
  readonly quota: Quota;
  readonly keys: SigningKeys;
}

/** Creates the services of the emulator and connects them with each other. */
export class EmulatorServices {
  readonly clock: ManualClock | RealClock;
  readonly faults: FaultInjector;
  readonly quota: Quota;
  readonly keys: SigningKeys;
  readonly queues = new Queues();
  readonly flows = new FlowControl();
  readonly events = new EventLog();
  readonly stats = new DeliveryStats();
  readonly store = new MessageStore();
  readonly deadLetters = new DeadLetters();
  readonly schedules: Schedules;
  readonly publishHandler: PublishHandler;
  readonly dispatcher: Dispatcher;
  readonly driver: ClockDriver;

  constructor({ clock, faults, quota, keys, ...options }: EmulatorSettings) {
    [this.clock, this.faults, this.quota, this.keys] = [clock, faults, quota, keys];
    const { queues, flows, events, stats, store, deadLetters } = this;
    const add = (task: Parameters<Dispatcher['add']>[0]): void => this.dispatcher.add(task);
    const reorderDelayMs = clock instanceof ManualClock ? 0 : REORDER_DELAY_MS;
    this.publishHandler = new PublishHandler({ clock, faults, queues, flows, events, stats, store, add, reorderDelayMs });
    this.schedules = new Schedules((publication) => this.publishHandler.accept(publication, '127.0.0.1'));
    const attempts = new DeliveryAttempts({
      clock,
      faults,
      keys,
      queues,
      events,
      stats,
      deadLetters,
      publishHandler: this.publishHandler,
      add,
    });
    this.dispatcher = new Dispatcher({
      clock,
      queues,
      flows,
      parallelism: () => quota.parallelism,
      deliver: (task, signal) => attempts.deliver(task, signal),
      tick: (now) => this.schedules.tick(now),
      nextTick: () => this.schedules.nextTick(),
      deliveryEnded: () => this.driver.changed(),
    });
    this.driver = new ClockDriver(clock, this.dispatcher, options);
  }

  /** Cancels messages. An active delivery continues, but its result is ignored. */
  cancel(messages: readonly Message[]): number {
    const pending = messages.filter((message) => !hasEnded(message));
    for (const message of pending) {
      message.state = 'cancelled';
      this.queues.release(message);
      this.stats.count('cancelled');
      this.events.add({ time: this.clock.now(), state: 'CANCELED', message });
    }
    return pending.length;
  }

  clear(): void {
    for (const part of [this.dispatcher, this.queues, this.flows, this.events, this.stats, this.store, this.deadLetters, this.schedules]) {
      part.clear();
    }
  }
}
