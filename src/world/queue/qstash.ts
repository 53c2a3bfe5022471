import type { Client, Receiver } from '@upstash/qstash';

import { within } from '../../core/async.js';
import { WorkflowConfigurationError } from '../../core/errors/index.js';
import type { Announcement, MessageStore, TakenMessage } from '../store/message-store.js';
import type { Dispatcher } from './dispatcher.js';
import { passedOn } from './headers.js';
import { LEASE_SECONDS } from './lease.js';
import { routeUrl } from './route-url.js';

/** Longest delay of a message in seconds. A longer one is made of several messages. */
const MAX_DELAY_SECONDS = 6 * 86_400;
const CALL_TIMEOUT_MS = 5_000;
const CLOCK_TOLERANCE_SECONDS = 5;
const SIGNATURE_HEADER = 'upstash-signature';
/** Maximum number of overdue messages that one sweep announces again. */
const SWEEP_LIMIT = 500;

/** Settings of QStash. */
export interface QStashDispatcherSettings {
  readonly token: string;
  readonly targetUrl: string;
  readonly currentSigningKey: string;
  readonly nextSigningKey: string;
  readonly url: string | undefined;
  readonly deploymentId: string;
  readonly schema: string;
  /** Gives messages to runs that have lost theirs, and removes runs whose retention has passed. */
  readonly sweep: () => Promise<void>;
  readonly warn: (text: string, error: unknown) => void;
}

interface Parts {
  readonly client: Client;
  readonly receiver: Receiver;
}

/**
 * Lets QStash deliver the messages. QStash knows only ids and headers: the messages stay in the
 * database, and an announcement that arrives twice, late or never loses nothing. A schedule in
 * QStash finds what was not delivered.
 */
export class QStashDispatcher implements Dispatcher {
  private parts: Promise<Parts> | undefined;
  private sweeping: Promise<void> | undefined;

  constructor(
    private readonly store: MessageStore,
    private readonly settings: QStashDispatcherSettings,
  ) {}

  async announce(message: Announcement, delaySeconds: number): Promise<void> {
    const { id, queue, runId, headers, failures, announced } = message;
    const { targetUrl } = this.settings;
    try {
      const { client } = await this.load();
      await this.call(
        client.publishJSON({
          url: routeUrl(targetUrl, queue),
          body: { ...(runId === undefined ? {} : { runId }), messageId: id },
          headers: passedOn(headers),
          // The key of the message must not be used: QStash would swallow its next use for minutes.
          deduplicationId: `${id}.${failures}.${announced}`,
          retries: 3,
          ...(delaySeconds > 0 ? { delay: Math.min(Math.ceil(delaySeconds), MAX_DELAY_SECONDS) } : {}),
        }),
      );
    } catch (error) {
      this.settings.warn('QStash did not take an announcement of a message of the World', error);
    }
  }

  async take(request: Request, prefix: string): Promise<TakenMessage | 'forged' | 'nothing' | undefined> {
    const signature = request.headers.get(SIGNATURE_HEADER);
    if (signature === null) return undefined;
    const body = await request.text();
    const { receiver } = await this.load();
    // A proxy may change the path of the request, but QStash has signed the published address.
    const url = routeUrl(this.settings.targetUrl, `${prefix}any`);
    const isGenuine = await receiver.verify({ signature, body, url, clockTolerance: CLOCK_TOLERANCE_SECONDS }).catch(() => false);
    if (!isGenuine) return 'forged';
    const { messageId, sweep } = JSON.parse(body) as { messageId?: unknown; sweep?: unknown };
    if (sweep === true) await this.sweep();
    if (typeof messageId !== 'string') return 'nothing';
    const message = await this.store.takeDue(messageId, LEASE_SECONDS);
    if (message) return message;
    const early = await this.store.announceEarly(messageId);
    if (early) await this.announce(early, early.delaySeconds);
    return 'nothing';
  }

  /**
   * Creates the schedule of the sweep. Its id is fixed, so that all processes share one schedule.
   */
  async start(): Promise<void> {
    const { client } = await this.load();
    // An outage of QStash must not keep the application from booting.
    await this.call(
      client.schedules.create({
        scheduleId: `world-${this.settings.schema}-${this.settings.deploymentId}`.replaceAll(/[^\w-]/g, '_'),
        destination: routeUrl(this.settings.targetUrl, '__wkf_workflow_sweep'),
        cron: '* * * * *',
        body: JSON.stringify({ sweep: true }),
        headers: { 'content-type': 'application/json' },
        retries: 0,
      }),
    ).catch((error: unknown) => this.settings.warn('QStash did not take the schedule of the World', error));
  }

  stop(): Promise<void> {
    return Promise.resolve();
  }

  /** Sweeps once at a time in this process. A call that comes meanwhile joins the sweep. */
  private sweep(): Promise<void> {
    this.sweeping ??= this.sweepOnce().finally(() => (this.sweeping = undefined));
    return this.sweeping;
  }

  private async sweepOnce(): Promise<void> {
    await this.settings.sweep();
    const overdue = await this.store.announceOverdue(this.settings.deploymentId, SWEEP_LIMIT);
    await Promise.all(overdue.map((message) => this.announce(message, 0)));
  }

  private load(): Promise<Parts> {
    this.parts ??= this.create().catch((error: unknown) => {
      this.parts = undefined;
      throw error;
    });
    return this.parts;
  }

  private async create(): Promise<Parts> {
    const { token, currentSigningKey, nextSigningKey, url } = this.settings;
    const sdk = await import('@upstash/qstash').catch((cause: unknown) => {
      throw new WorkflowConfigurationError('qstash needs the package @upstash/qstash 2: npm install @upstash/qstash', { cause });
    });
    // QSTASH_DEV would make the SDK use publicly known keys.
    const client = new sdk.Client({
      token,
      devMode: false,
      retry: false,
      enableTelemetry: false,
      ...(url === undefined ? {} : { baseUrl: url }),
    });
    return { client, receiver: new sdk.Receiver({ currentSigningKey, nextSigningKey, devMode: false }) };
  }

  private async call<T>(work: Promise<T>): Promise<T> {
    if ((await within(CALL_TIMEOUT_MS, work)) === 'late') throw new Error(`QStash did not answer within ${CALL_TIMEOUT_MS} ms`);
    return work;
  }
}
