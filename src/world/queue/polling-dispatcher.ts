import type { Announcement, ClaimedMessage, MessageStore } from '../store/message-store.js';
import type { Dispatcher } from './dispatcher.js';
import { Poller, type PollerSettings } from './poller.js';
import type { BackgroundService } from '../../maintenance/background-service.js';

/** Delivers messages by polling: the poller, and the sweeps of this process. */
export class PollingDispatcher implements Dispatcher {
  private readonly poller: Poller;

  constructor(
    store: MessageStore,
    settings: PollerSettings,
    private readonly sweeps: readonly BackgroundService[],
  ) {
    this.poller = new Poller(store, settings);
  }

  announce(_message: Announcement, delaySeconds: number): Promise<void> {
    this.poller.wake(delaySeconds * 1_000);
    return Promise.resolve();
  }

  reserve(): boolean {
    return this.poller.reserve();
  }

  use(message: ClaimedMessage | undefined): void {
    this.poller.use(message);
  }

  start(): Promise<void> {
    this.poller.start();
    for (const sweep of this.sweeps) sweep.start();
    return Promise.resolve();
  }

  async stop(): Promise<void> {
    await Promise.all([this.poller, ...this.sweeps].map((service) => service.stop()));
  }
}
