import type { Publication } from './publication.js';

/**
 * State of a message. `dead` means that all attempts failed, `lost` that a fault dropped the
 * message.
 */
export type QStashMessageState = 'pending' | 'delivering' | 'retrying' | 'delivered' | 'dead' | 'cancelled' | 'lost';

/** Message that the emulator has accepted. */
export interface Message extends Publication {
  readonly messageId: string;
  /** Number of the message: each message has a higher number than the message before it. */
  readonly sequence: number;
  readonly createdAt: number;
  readonly dueAt: number;
  readonly callerIp: string;
  state: QStashMessageState;
  /** Number of attempts to deliver the message so far. */
  attempts: number;
}

/** Record of a message, for tests. Its times are those of the emulator's clock. */
export interface QStashMessageRecord {
  readonly messageId: string;
  readonly url: string;
  readonly method: string;
  /** Headers that are forwarded to the destination. */
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
  readonly state: QStashMessageState;
  readonly attempts: number;
  readonly createdAt: Date;
  /** Earliest time of the first delivery. */
  readonly notBefore: Date;
  readonly deduplicationId: string | undefined;
  readonly queue: string | undefined;
  readonly flowControlKey: string | undefined;
  readonly scheduleId: string | undefined;
}

/**
 * Result of one attempt to deliver a message. `unacknowledged` means that the attempt succeeded,
 * but a fault dropped the answer.
 */
export type QStashDeliveryOutcome = 'delivering' | 'delivered' | 'failed' | 'unacknowledged';

/**
 * Record of one attempt to deliver a message, for tests. Its times are those of the emulator's
 * clock.
 */
export interface QStashDeliveryRecord {
  readonly messageId: string;
  readonly url: string;
  readonly method: string;
  /** Headers that were sent to the destination, including the signature. */
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
  /** Number of the attempt, as in the header `Upstash-Retried`: 0 for the first attempt. */
  readonly attempt: number;
  readonly outcome: QStashDeliveryOutcome;
  /** Status code of the answer; undefined if no answer has arrived. */
  readonly status: number | undefined;
  /** Reason why no answer arrived. */
  readonly error: string | undefined;
  /** True when a fault caused this additional delivery of the message. */
  readonly duplicate: boolean;
  readonly startedAt: Date;
  readonly endedAt: Date | undefined;
}

export function hasEnded({ state }: Message): boolean {
  return state === 'delivered' || state === 'dead' || state === 'cancelled' || state === 'lost';
}

export function recordOf(message: Message): QStashMessageRecord {
  const { messageId, url, method, headers, body, state, attempts, createdAt, dueAt, deduplicationId, queue, flow, scheduleId } = message;
  return {
    messageId,
    url,
    method,
    headers,
    body: body.toString(),
    state,
    attempts,
    createdAt: new Date(createdAt),
    notBefore: new Date(dueAt),
    deduplicationId,
    queue,
    flowControlKey: flow?.key,
    scheduleId,
  };
}

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** Returns a body as the API shows it: as text if it is UTF-8, otherwise in base64. */
export function bodyFields<Name extends string>(body: Buffer, name: Name): Partial<Record<Name | `${Name}Base64`, string>> {
  const shown: Record<string, string> = {};
  try {
    shown[name] = utf8.decode(body);
  } catch {
    shown[`${name}Base64`] = body.toString('base64');
  }
  return shown as Partial<Record<Name | `${Name}Base64`, string>>;
}

/** Returns, as the API shows them, the settings that messages and schedules have in common. */
export function publicationView(publication: Publication): object {
  const { headers, method, retries, retryDelay, callback, failureCallback, queue, flow, labels } = publication;
  return {
    method,
    header: Object.fromEntries(Object.entries(headers).map(([name, value]) => [name, [value]])),
    ...bodyFields(publication.body, 'body'),
    maxRetries: retries,
    retryDelayExpression: retryDelay,
    callback: callback?.url,
    failureCallback: failureCallback?.url,
    queueName: queue,
    flowControlKey: flow?.key,
    parallelism: flow?.parallelism,
    rate: flow?.rate,
    period: flow === undefined ? undefined : flow.periodMs / 1_000,
    label: labels[0],
    labels: labels.length === 0 ? undefined : labels,
  };
}

/** Returns a message as the API shows it. */
export function messageView(message: Message): object {
  const { messageId, url, dueAt, createdAt, scheduleId, callerIp } = message;
  return { messageId, url, ...publicationView(message), notBefore: dueAt, createdAt, scheduleId, callerIP: callerIp };
}
