import { createHash } from 'node:crypto';

import type { Client, Receiver } from '@upstash/qstash';

import { WorkflowConfigurationError } from '../../core/errors/index.js';
import { within } from '../../core/async.js';
import type { WakeUp } from '../../store/sql/outbox.js';
import { decodeMessage, encodeMessage } from './message.js';
import type { QStashSettings } from './settings.js';

/** The SDK has none of its own. */
const CALL_TIMEOUT_MS = 5_000;
const CLOCK_TOLERANCE_SECONDS = 5;
/** Of the API, for one call. */
export const BATCH = 100;

/** What became of a message: why it was not taken, else undefined. */
export type Refusal = { readonly reason: string } | undefined;

interface DeadLetter {
  readonly id: string;
  /** Null when the body is not of this version. */
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

/** QStash by its own SDK, with a timeout on every call. `devMode: false` everywhere: else QSTASH_DEV in the environment replaces even keys that were given. */
export class QStashApi {
  /** Of deduplication ids. */
  private readonly prefix: string;

  private constructor(
    private readonly client: Client,
    private readonly receiver: Receiver | undefined,
    private readonly settings: QStashSettings,
  ) {
    // With the address: two stages that share a QStash, and have runs of the same ids, must not swallow each other's messages.
    this.prefix = `${settings.namespace}.${digestOf(settings.deliveryUrl, 8)}`;
  }

  /** @throws WorkflowConfigurationError when the SDK is not installed */
  static async create(settings: QStashSettings): Promise<QStashApi> {
    const { Client, Receiver } = await loadSdk();
    const { token, apiUrl, keys } = settings;
    // Nobody waits for its own attempts: whoever calls tries again.
    const client = new Client({ token, devMode: false, retry: false, baseUrl: apiUrl, enableTelemetry: false });
    const receiver = keys && new Receiver({ currentSigningKey: keys.current, nextSigningKey: keys.next, devMode: false });
    return new QStashApi(client, receiver, settings);
  }

  /** Publishes wake-ups, at most `BATCH` of them; says of each whether it was refused. @throws what the SDK throws, or when it takes too long */
  async publish(wakeUps: readonly WakeUp[]): Promise<Refusal[]> {
    const answers = await this.call(this.client.batch(wakeUps.map((wakeUp) => this.toRequest(wakeUp))));
    return wakeUps.map((_, index) => {
      const answer = answers[index] as { messageId?: string; error?: string } | undefined;
      return answer?.messageId === undefined ? { reason: answer?.error ?? 'no answer' } : undefined;
    });
  }

  /** Whether a request comes from QStash: signed with either key, for this URL, over this very body. */
  async isGenuine(signature: string, body: string, url: string): Promise<boolean> {
    if (!this.receiver) return false;
    try {
      return await this.receiver.verify({ signature, body, url, clockTolerance: CLOCK_TOLERANCE_SECONDS });
    } catch {
      return false;
    }
  }

  /**
   * Has the sweep called, as it is configured now. An id of our own makes it one schedule, however many processes do this.
   *
   * @returns the address that it called until now, where that is another
   */
  async keepSchedule(): Promise<string | undefined> {
    const { sweepCron, sweepUrl, namespace, label } = this.settings;
    if (sweepCron === undefined) return undefined;
    const scheduleId = `${namespace}-sweep`;
    // Not get(): the SDK tells the console of each 404.
    const before = (await this.call(this.client.schedules.list())).find((schedule) => schedule.scheduleId === scheduleId);
    const schedule = {
      scheduleId,
      destination: sweepUrl,
      cron: sweepCron,
      // Some frameworks refuse JSON that is empty.
      body: '{}',
      headers: { 'content-type': 'application/json' },
      retries: 0,
      ...(label === undefined ? {} : { label }),
    };
    await this.call(this.client.schedules.create(schedule));
    return before && before.destination !== sweepUrl ? before.destination : undefined;
  }

  /** Wake-ups that QStash has given up on, a page of them. */
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

  /** Has QStash deliver them again. */
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
      // By QStash's clock, not by ours, which may be wrong. A second more rather than one less: what comes too early has to be sent again.
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

/** Keys of QStash's flow control have letters, digits, hyphens, underscores and periods; a queue may be called anything. */
function plainName(queue: string): string {
  return /^[\w.-]{1,100}$/.test(queue) ? queue : digestOf(queue, 24);
}

function digestOf(text: string, length: number): string {
  return createHash('sha256').update(text).digest('hex').slice(0, length);
}
