import { callbackBody } from './callback-body.js';
import type { Clock } from './clock.js';
import type { DeadLetters } from './dead-letters.js';
import { type Task, TIMED_OUT } from './dispatcher.js';
import type { EventLog } from './event-log.js';
import type { FaultInjector } from './faults.js';
import type { PublishHandler } from './publish-handler.js';
import type { DeliveryStats, OpenDelivery } from './delivery-stats.js';
import type { Message } from './message.js';
import { type CallbackTarget, type Headers, parsePublication } from './publication.js';
import type { Queues } from './queues.js';
import { retryDelayMs } from './retry-times.js';
import { type Answer, sendRequest } from './send.js';
import { signatureOf } from './signature.js';
import type { SigningKeys } from './signing-keys.js';

interface DeliveryDependencies {
  readonly clock: Clock;
  readonly faults: FaultInjector;
  readonly keys: SigningKeys;
  readonly queues: Queues;
  readonly events: EventLog;
  readonly stats: DeliveryStats;
  readonly deadLetters: DeadLetters;
  readonly publishHandler: PublishHandler;
  readonly add: (task: Task) => void;
}

/**
 * Status code by which a destination forbids further attempts, together with the header
 * `Upstash-NonRetryable-Error: true`.
 */
const NON_RETRYABLE = 489;

/**
 * Makes the attempts to deliver messages. After each answer, ends the message, schedules a retry,
 * or creates a dead letter.
 */
export class DeliveryAttempts {
  constructor(private readonly dependencies: DeliveryDependencies) {}

  /** Makes one attempt to deliver a message. Never rejects. */
  async deliver(task: Task, signal: AbortSignal): Promise<void> {
    const { message } = task;
    const delivery = this.start(task);
    const answer = await sendRequest({ url: message.url, method: message.method, headers: delivery.headers, body: message.body, signal });
    const timedOut = signal.aborted && signal.reason === TIMED_OUT;
    // Ignore the result: the delivery was aborted because the emulator was closed or cleared.
    if (signal.aborted && !timedOut) return;
    this.settle(task, timedOut && answer.status === undefined ? { ...answer, error: TIMED_OUT } : answer, delivery);
  }

  private start(task: Task): OpenDelivery {
    const { clock, events, stats } = this.dependencies;
    const { message, retried, kind } = task;
    const now = clock.now();
    if (kind === 'original') {
      message.state = 'delivering';
      message.attempts += 1;
      events.add({ time: now, state: 'ACTIVE', message });
    }
    const delivery: OpenDelivery = {
      messageId: message.messageId,
      url: message.url,
      method: message.method,
      headers: this.headersOf(task),
      body: message.body.toString(),
      attempt: retried,
      outcome: 'delivering',
      status: undefined,
      error: undefined,
      duplicate: kind === 'duplicate',
      startedAt: new Date(now),
      endedAt: undefined,
    };
    stats.start(delivery);
    return delivery;
  }

  private headersOf({ message, retried }: Task): Headers {
    const { messageId, url, body, headers, scheduleId, callerIp } = message;
    // Sign with the machine's clock, even if the emulator's clock is manual, because receivers
    // verify the signature with the machine's clock.
    const signature = signatureOf({ url, body, signingKey: this.dependencies.keys.current, issuedAt: new Date() });
    return {
      'user-agent': 'Upstash-QStash',
      ...headers,
      'upstash-message-id': messageId,
      'upstash-retried': String(retried),
      'upstash-signature': signature,
      'upstash-region': 'EU-CENTRAL-1',
      'upstash-caller-ip': callerIp,
      ...(scheduleId === undefined ? {} : { 'upstash-schedule-id': scheduleId }),
    };
  }

  private settle(task: Task, answer: Answer, delivery: OpenDelivery): void {
    const { clock, faults, stats } = this.dependencies;
    const { message, kind } = task;
    const now = clock.now();
    const { status } = answer;
    const succeeded = status !== undefined && status >= 200 && status < 300;
    const acknowledged = succeeded && !faults.happens('dropAcknowledgement');
    [delivery.status, delivery.error] = [status, answer.error];
    stats.end(delivery, acknowledged ? 'delivered' : succeeded ? 'unacknowledged' : 'failed', now);
    if (kind === 'duplicate' || message.state === 'cancelled') return;
    if (acknowledged || (status !== undefined && !succeeded)) this.callBack(message.callback, task, answer);
    if (acknowledged) this.delivered(message, now);
    else this.failed(task, succeeded ? LOST_ANSWER : answer, now);
  }

  private delivered(message: Message, now: number): void {
    const { events, stats, queues } = this.dependencies;
    message.state = 'delivered';
    queues.release(message);
    stats.count('delivered');
    events.add({ time: now, state: 'DELIVERED', message });
  }

  private failed(task: Task, answer: Answer, now: number): void {
    const { events, add } = this.dependencies;
    const { message, retried } = task;
    const error = answer.error ?? `status ${answer.status}`;
    events.add({ time: now, state: 'ERROR', message, error });
    if (retried >= message.retries || isNonRetryable(answer)) {
      this.moveToDeadLetters(task, answer, now);
      return;
    }
    const delayMs = retryDelayMs({ retried, expression: message.retryDelay, headers: answer.headers, now });
    message.state = 'retrying';
    events.add({ time: now, state: 'RETRY', message, error, nextDeliveryTime: now + delayMs });
    add({ message, retried: retried + 1, dueAt: now + delayMs, order: message.sequence, kind: 'original' });
  }

  private moveToDeadLetters(task: Task, answer: Answer, now: number): void {
    const { events, stats, queues, deadLetters } = this.dependencies;
    const { message } = task;
    message.state = 'dead';
    queues.release(message);
    stats.count('deadLettered');
    events.add({ time: now, state: 'FAILED', message, error: answer.error });
    const { dlqId } = deadLetters.add(message, answer, now);
    this.callBack(message.failureCallback, task, answer, dlqId);
  }

  /** Publishes the result of an attempt as a new message to a callback address. */
  private callBack(target: CallbackTarget | undefined, { message, retried }: Task, answer: Answer, dlqId?: string): void {
    if (!target) return;
    const body = callbackBody({ message, retried, answer, dlqId });
    this.dependencies.publishHandler.accept(parsePublication({ url: target.url, headers: target.headers, body }), message.callerIp);
  }
}

const LOST_ANSWER: Answer = { status: undefined, headers: {}, body: Buffer.alloc(0), error: 'the answer was lost' };

function isNonRetryable({ status, headers }: Answer): boolean {
  return status === NON_RETRYABLE && headers['upstash-nonretryable-error']?.[0]?.toLowerCase() === 'true';
}
