import { request as httpRequest, type ClientRequest } from 'node:http';
import { request as httpsRequest } from 'node:https';
import { performance } from 'node:perf_hooks';

import { within } from '../../core/async.js';
import { outside } from '../../core/outside.js';
import { BackgroundService } from '../../maintenance/background-service.js';
import { forgetClaim, keepClaim } from './claims.js';
import { LEASE_HEADER, MESSAGE_HEADER, passedOn } from './headers.js';
import type { ClaimedMessage, MessageStore } from '../store/message-store.js';
import { LEASE_SECONDS } from './lease.js';
import { pathOf } from './queue-name.js';
import { routeUrl } from './route-url.js';

/** Seconds until a message is delivered again that did not reach the application. */
const UNREACHED_SECONDS = 1;

/** Settings of a poller. */
export interface PollerSettings {
  readonly deploymentId: string;
  /** Address of the application. Read when a message is delivered: the port may be known late. */
  readonly baseUrl: () => string;
  /** Maximum number of deliveries at the same time. */
  readonly concurrency: number;
  readonly pollIntervalMs: number;
  /** Maximum time for which a stop waits for deliveries. */
  readonly shutdownTimeoutMs: number;
  readonly warn: (text: string, error: unknown) => void;
}

/** Claims due messages, and delivers each to the kit's route of the application by HTTP. */
export class Poller extends BackgroundService {
  private readonly deliveries = new Set<Promise<void>>();
  private readonly requests = new Set<ClientRequest>();
  private isCutOff = false;
  private reserved = 0;
  /** True when there may be more due messages than the last look has claimed. */
  private isFull = false;
  /** Time of the next look. A wake-up that arrives during a look is remembered here. */
  private nextAt = 0;

  constructor(
    private readonly store: MessageStore,
    private readonly settings: PollerSettings,
  ) {
    super();
  }

  /**
   * Reserves room for a message that is being stored. Returns false when due messages may wait, and
   * during a look, which may need the room itself.
   */
  reserve(): boolean {
    if (!this.isRunning || this.isWorking || this.isFull || this.room <= 0) return false;
    this.reserved++;
    return true;
  }

  /** Ends a reservation: delivers the message, if there is one. */
  use(message: ClaimedMessage | undefined): void {
    this.reserved--;
    // A poller that has been stopped leaves the message to other processes.
    if (message && this.isRunning) outside(() => this.begin(message));
    else if (message) void this.store.putOff(message, 0, 0).catch(() => undefined);
    else if (this.isFull) this.wake();
  }

  /** Looks for due messages soon: now, or after some milliseconds. */
  wake(delayMs = 0): void {
    const at = performance.now() + delayMs;
    if (at >= this.nextAt) return;
    this.nextAt = at;
    // A timer waits for a millisecond at least.
    if (delayMs > 0) this.schedule(delayMs);
    else this.workNow();
  }

  /**
   * Claims nothing more. Resolves when the deliveries of this process have ended. Those that take
   * longer than `shutdownTimeoutMs` are cut off, and begin again when their leases expire.
   */
  override async stop(): Promise<void> {
    await super.stop();
    if ((await within(this.settings.shutdownTimeoutMs, Promise.all(this.deliveries))) === 'done') return;
    this.settings.warn('deliveries of the World were cut off', new Error(`${this.deliveries.size} went on after shutdownTimeoutMs`));
    this.isCutOff = true;
    for (const request of this.requests) request.destroy();
    await Promise.all(this.deliveries);
  }

  protected async work(): Promise<number> {
    this.nextAt = Number.POSITIVE_INFINITY;
    const pauseMs = await this.claim();
    const now = performance.now();
    this.nextAt = Math.min(this.nextAt, now + pauseMs);
    return Math.max(0, this.nextAt - now);
  }

  private get room(): number {
    return this.settings.concurrency - this.deliveries.size - this.reserved;
  }

  private async claim(): Promise<number> {
    const { deploymentId, pollIntervalMs, warn } = this.settings;
    const { room } = this;
    // The end of a delivery makes room, and looks again.
    this.isFull = room <= 0;
    if (this.isFull) return pollIntervalMs;
    try {
      const messages = await this.store.claim(deploymentId, room, LEASE_SECONDS);
      this.isFull = messages.length >= room;
      for (const message of messages) this.begin(message);
      return pollIntervalMs;
    } catch (error) {
      warn('the queue of the World cannot be read', error);
      return Math.max(pollIntervalMs, 1_000);
    }
  }

  private begin(message: ClaimedMessage): void {
    const delivery = this.post(message).finally(() => {
      this.deliveries.delete(delivery);
      if (this.isFull) this.wake();
    });
    this.deliveries.add(delivery);
  }

  private async post(message: ClaimedMessage): Promise<void> {
    keepClaim(message);
    try {
      const status = await this.send(message);
      // The handler has recorded the outcome of a delivery that reached it.
      if (status === 200 || status === 500) return;
      throw new Error(`${pathOf(message.queue)} answered with status ${status}`);
    } catch (error) {
      if (!this.isCutOff) this.settings.warn('a message of the World did not reach the application', error);
      // Nothing happens when a handler has taken the message over.
      if (!forgetClaim(message)) await this.store.putOff(message, UNREACHED_SECONDS, 0).catch(() => undefined);
    } finally {
      forgetClaim(message);
    }
  }

  /**
   * Posts a message without a time limit: the answer comes when all steps of the delivery have
   * ended.
   */
  private send({ id, lease, queue, runId, headers }: ClaimedMessage): Promise<number> {
    const url = new URL(routeUrl(this.settings.baseUrl(), queue));
    const body = JSON.stringify({ ...(runId === undefined ? {} : { runId }), messageId: id, queueName: queue });
    const options = {
      method: 'POST',
      headers: {
        ...passedOn(headers),
        'content-type': 'application/json',
        'content-length': Buffer.byteLength(body),
        [MESSAGE_HEADER]: id,
        [LEASE_HEADER]: lease,
      },
    };
    return new Promise((resolve, reject) => {
      const sent = (url.protocol === 'https:' ? httpsRequest : httpRequest)(url, options, (response) => {
        response.resume();
        response.on('end', () => resolve(response.statusCode ?? 0));
        response.on('error', reject);
      });
      this.requests.add(sent);
      sent.on('close', () => this.requests.delete(sent));
      sent.on('error', reject);
      sent.end(body);
    });
  }
}
