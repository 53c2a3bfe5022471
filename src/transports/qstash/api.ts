import { createHash } from 'node:crypto';

import type { Client, Receiver } from '@upstash/qstash';

import { WorkflowConfigurationError } from '../../core/errors/index.js';
import { within } from '../../core/async.js';
import type { WakeUp } from '../../store/sql/outbox.js';
import { decodeMessage, encodeMessage } from './message.js';
import type { QStashSettings } from './settings.js';

/** Timeout of one call. The SDK has no timeout of its own. */
const CALL_TIMEOUT_MS = 5_000;
const CLOCK_TOLERANCE_SECONDS = 5;
/** Maximum number of messages in one call of the API. */
export const BATCH = 100;

/** Reason why QStash refused a message; undefined for an accepted message. */
export type Refusal = { readonly reason: string } | undefined;

interface DeadLetter {
  readonly id: string;
  /** Id of the run; null when the body has another version. */
  readonly runId: string | null;
  readonly queue: string | null;
  readonly responseStatus: number | null;
  readonly createdAt: Date;
}

type Sdk = typeof import('@upstash/qstash');

async function loadSdk(): Promise<Sdk> {
  try {
    return await import('@upstash/qstash');
  } catch (cause) {
    throw new WorkflowConfigurationError(`transport 'qstash' needs the package @upstash/qstash 2: npm install @upstash/qstash`, { cause });
  }
}

/**
 * Client of QStash's API, built on its SDK, with a timeout on every call. Every SDK object gets
 * `devMode: false`; otherwise QSTASH_DEV in the environment would replace even keys that were
 * passed.
 */
export class QStashApi {
  /** Prefix of deduplication ids. */
  private readonly prefix: string;

  private constructor(
    private readonly client: Client,
    private readonly receiver: Receiver | undefined,
    private readonly settings: QStashSettings,
  ) {
    // The address is part of the prefix: two stages may share a QStash account and have runs with
    // the same ids. Without the address, the messages of one stage would suppress those of the
    // other.
    this.prefix = `${settings.namespace}.${digestOf(settings.deliveryUrl, 8)}`;
  }

  /**
   * Creates the client.
   *
   * @throws WorkflowConfigurationError when the SDK is not installed
   */
  static async create(settings: QStashSettings): Promise<QStashApi> {
    const { Client, Receiver } = await loadSdk();
    const { token, apiUrl, keys } = settings;
    // The SDK must not retry: every caller here retries itself, and nobody waits for retries of the
    // SDK.
    const client = new Client({ token, devMode: false, retry: false, baseUrl: apiUrl, enableTelemetry: false });
    const receiver = keys && new Receiver({ currentSigningKey: keys.current, nextSigningKey: keys.next, devMode: false });
    return new QStashApi(client, receiver, settings);
  }

  /**
   * Publishes at most `BATCH` wake-ups.
   *
   * @returns for each wake-up, the refusal or undefined
   * @throws the SDK's error, or a TimeoutError
   */
  async publish(wakeUps: readonly WakeUp[]): Promise<Refusal[]> {
    const answers = await this.call(this.client.batch(wakeUps.map((wakeUp) => this.toRequest(wakeUp))));
    return wakeUps.map((_, index) => {
      const answer = answers[index] as { messageId?: string; error?: string } | undefined;
      return answer?.messageId === undefined ? { reason: answer?.error ?? 'no answer' } : undefined;
    });
  }

  /** Returns true when QStash has signed a request, with either key, for this URL and this body. */
  async isGenuine(signature: string, body: string, url: string): Promise<boolean> {
    if (!this.receiver) return false;
    try {
      return await this.receiver.verify({ signature, body, url, clockTolerance: CLOCK_TOLERANCE_SECONDS });
    } catch {
      return false;
    }
  }

  /**
   * Creates or updates the schedule of the sweep. The schedule has a fixed id, so all processes
   * share one schedule.
   *
   * @returns the address that the schedule called before, if it was another one
   */
  async ensureSchedule(): Promise<string | undefined> {
    const { sweepCron, sweepUrl, namespace, label } = this.settings;
    if (sweepCron === undefined) return undefined;
    const scheduleId = `${namespace}-sweep`;
    // Not get(): the SDK prints each 404 to the console.
    const before = (await this.call(this.client.schedules.list())).find((schedule) => schedule.scheduleId === scheduleId);
    const schedule = {
      scheduleId,
      destination: sweepUrl,
      cron: sweepCron,
      // Some frameworks refuse an empty body that is declared as JSON.
      body: '{}',
      headers: { 'content-type': 'application/json' },
      retries: 0,
      ...(label === undefined ? {} : { label }),
    };
    await this.call(this.client.schedules.create(schedule));
    return before && before.destination !== sweepUrl ? before.destination : undefined;
  }

  /** Returns one page of wake-ups that QStash has given up on. */
  async deadLetters(cursor: string | undefined, limit: number): Promise<{ deadLetters: DeadLetter[]; cursor: string | undefined }> {
    const filter = { url: this.settings.deliveryUrl };
    const page = await this.call(this.client.dlq.listMessages({ ...(cursor === undefined ? {} : { cursor }), count: limit, filter }));
    const deadLetters = page.messages.map(({ dlqId, body, responseStatus, createdAt }) => {
      const message = decodeMessage(body ?? '');
      const { run, queue } = message === 'unknown' ? { run: null, queue: null } : message;
      return { id: dlqId, runId: run, queue, responseStatus: responseStatus ?? null, createdAt: new Date(createdAt) };
    });
    return { deadLetters, cursor: page.cursor || undefined };
  }

  /** Makes QStash deliver dead letters again. */
  async redriveDeadLetters(ids: readonly string[]): Promise<number> {
    return (await this.call(this.client.dlq.retry([...ids]))).responses.length;
  }

  async deleteDeadLetters(ids: readonly string[]): Promise<void> {
    await this.call(this.client.dlq.delete([...ids]));
  }

  private toRequest({ runId, queue, seq, dueInMs }: WakeUp): Parameters<Client['batch']>[0][number] {
    const { deliveryUrl, namespace, flow, label } = this.settings;
    const { parallelism, rate, periodSeconds } = flow[queue] ?? {};
    const isLimited = parallelism !== undefined || rate !== undefined;
    const flowControl = {
      key: `${namespace}.${plainName(queue)}`,
      ...(parallelism === undefined ? {} : { parallelism }),
      ...(rate === undefined ? {} : { rate }),
      ...(periodSeconds === undefined ? {} : { period: periodSeconds }),
    };
    return {
      url: deliveryUrl,
      body: encodeMessage({ run: runId, queue, seq }),
      headers: { 'content-type': 'application/json' },
      deduplicationId: `${this.prefix}.${encodeURIComponent(runId)}.${seq}`,
      // A delay instead of a date, because QStash's clock counts and ours may be wrong. Rounded up:
      // a message that arrives too early would have to be sent again.
      ...(dueInMs > 0 ? { delay: Math.ceil(dueInMs / 1_000) } : {}),
      ...(isLimited ? { flowControl: flowControl as { key: string; parallelism: number } } : {}),
      ...(label === undefined ? {} : { label }),
    };
  }

  private async call<T>(work: Promise<T>): Promise<T> {
    if ((await within(CALL_TIMEOUT_MS, work)) === 'late')
      throw new DOMException(`QStash did not answer within ${CALL_TIMEOUT_MS} ms`, 'TimeoutError');
    return work;
  }
}

/**
 * Converts the name of a queue to a key of QStash's flow control, which allows letters, digits,
 * hyphens, underscores and periods.
 */
function plainName(queue: string): string {
  return /^[\w.-]{1,100}$/.test(queue) ? queue : digestOf(queue, 24);
}

function digestOf(text: string, length: number): string {
  return createHash('sha256').update(text).digest('hex').slice(0, length);
}
