import { createHash } from 'node:crypto';

import type { Client, Receiver } from '@upstash/qstash';

import { WorkflowConfigurationError } from '../../core/errors/index.js';
import { within } from '../../core/async.js';
import { tracer } from '../../core/tracing.js';
import type { WakeUp } from '../../store/sql/outbox.js';
import { decodeMessage, encodeMessage, encodeSweep, type SweepPart } from './message.js';
import type { QStashSettings } from './settings.js';

/** Milliseconds until a call of the API times out. The SDK has no timeout of its own. */
const CALL_TIMEOUT_MS = 5_000;
const CLOCK_TOLERANCE_SECONDS = 5;
/** Maximum number of messages in one call of the API. */
export const MAX_BATCH_MESSAGES = 100;

/** Reason why QStash refused a message; undefined for an accepted message. */
export type Refusal = { readonly reason: string } | undefined;

interface DeadLetter {
  readonly id: string;
  /**
   * Id of the run that the message names; null when another version of this package wrote the
   * message.
   */
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
 * Client of QStash's API. Uses QStash's SDK, and adds a timeout to every call. Creates every SDK
 * object with `devMode: false`. Otherwise the environment variable QSTASH_DEV would make the SDK
 * ignore the configured token and keys, and use its publicly known ones.
 */
export class QStashApi {
  /** Prefix of the deduplication ids of messages. */
  private readonly prefix: string;

  private constructor(
    private readonly client: Client,
    private readonly receiver: Receiver | undefined,
    private readonly settings: QStashSettings,
  ) {
    // The prefix contains the address, because two stages (such as test and production) may share a
    // QStash account and have runs with the same ids. Without the address, QStash would drop the
    // messages of one stage as duplicates of those of the other.
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
    // Retries of the SDK are switched off, because every caller of this class retries by itself.
    const client = new Client({ token, devMode: false, retry: false, baseUrl: apiUrl, enableTelemetry: false });
    const receiver = keys && new Receiver({ currentSigningKey: keys.current, nextSigningKey: keys.next, devMode: false });
    return new QStashApi(client, receiver, settings);
  }

  /**
   * Publishes at most `MAX_BATCH_MESSAGES` wake-ups.
   *
   * @returns for each wake-up, why QStash refused it; undefined if QStash accepted it
   * @throws the error of the SDK, or a TimeoutError
   */
  async publish(wakeUps: readonly WakeUp[]): Promise<Refusal[]> {
    const answers = await this.call(this.client.batch(wakeUps.map((wakeUp) => this.toRequest(wakeUp))));
    return wakeUps.map((_, index) => {
      const answer = answers[index] as { messageId?: string; error?: string } | undefined;
      return answer?.messageId === undefined ? { reason: answer?.error ?? 'no answer' } : undefined;
    });
  }

  /**
   * Returns true when QStash has signed a request for this URL and this body, with the current or
   * the next key.
   */
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
   * @returns the address that the schedule called before, if this call has changed the address;
   *   otherwise undefined
   */
  async ensureSchedule(): Promise<string | undefined> {
    const { sweepCron, sweepUrl, namespace, label } = this.settings;
    if (sweepCron === undefined) return undefined;
    const scheduleId = `${namespace}-sweep`;
    // Uses list() instead of get(). When no schedule exists yet, QStash answers get() with 404, and
    // the SDK prints every 404 to the console.
    const before = (await this.call(this.client.schedules.list())).find((schedule) => schedule.scheduleId === scheduleId);
    const schedule = {
      scheduleId,
      destination: sweepUrl,
      cron: sweepCron,
      // The body is not empty, because some frameworks refuse an empty body that is declared as
      // JSON.
      body: '{}',
      headers: { 'content-type': 'application/json' },
      retries: 0,
      ...(label === undefined ? {} : { label }),
    };
    await this.call(this.client.schedules.create(schedule));
    return before && before.destination !== sweepUrl ? before.destination : undefined;
  }

  /** Returns one page of dead letters: wake-ups that QStash no longer tries to deliver. */
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

  /**
   * Makes QStash deliver dead letters again.
   *
   * @returns number of messages that QStash delivers again
   */
  async redriveDeadLetters(ids: readonly string[]): Promise<number> {
    return (await this.call(this.client.dlq.retry([...ids]))).responses.length;
  }

  async deleteDeadLetters(ids: readonly string[]): Promise<void> {
    await this.call(this.client.dlq.delete([...ids]));
  }

  /**
   * Asks QStash to call a part of the sweep after a delay. A repeated call for the same time sends
   * one message.
   *
   * @param at time of the call, which identifies the message
   * @throws the error of the SDK, or a TimeoutError
   */
  async callSweep(part: SweepPart, at: number, delayMs: number): Promise<void> {
    const { sweepUrl, label } = this.settings;
    const message = {
      url: sweepUrl,
      body: encodeSweep(part),
      headers: { 'content-type': 'application/json' },
      deduplicationId: `${this.prefix}.${part}.${at}`,
      retries: 0,
      ...(delayMs > 0 ? { delay: Math.ceil(delayMs / 1_000) } : {}),
      ...(label === undefined ? {} : { label }),
    };
    await this.call(this.client.publish(message));
  }

  private toRequest({ runId, queue, seq, dueInMs, traceContext }: WakeUp): Parameters<Client['batch']>[0][number] {
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
      headers: { 'content-type': 'application/json', ...tracer?.headersOf(traceContext) },
      deduplicationId: `${this.prefix}.${encodeURIComponent(runId)}.${seq}`,
      // The time is sent as a delay, not as a date, because the clock of this process may differ
      // from QStash's. The delay is rounded up, because a message that arrives too early would have
      // to be sent again.
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
 * Converts the name of a queue to a key of QStash's flow control. Such a key may only contain
 * letters, digits, hyphens, underscores and periods.
 */
function plainName(queue: string): string {
  return /^[\w.-]{1,100}$/.test(queue) ? queue : digestOf(queue, 24);
}

function digestOf(text: string, length: number): string {
  return createHash('sha256').update(text).digest('hex').slice(0, length);
}
