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
  /** Id of the message. */
  readonly messageId: string;
  /** Address of the destination. */
  readonly url: string;
  /** HTTP method of the delivery. */
  readonly method: string;
  /** Headers that are forwarded to the destination. */
  readonly headers: Readonly<Record<string, string>>;
  /** Body of the message, as text. */
  readonly body: string;
  /** State of the message. */
  readonly state: QStashMessageState;
  /** Number of attempts to deliver the message so far. */
  readonly attempts: number;
  /** Time of the publication. */
  readonly createdAt: Date;
  /** Earliest time of the first delivery. */
  readonly notBefore: Date;
  /** Deduplication id of the message, if it has one. */
  readonly deduplicationId: string | undefined;
  /** QStash queue of the message, if it has one. */
  readonly queue: string | undefined;
  /** Flow control key of the message, if it has one. */
  readonly flowControlKey: string | undefined;
  /** Id of the schedule that published the message, if any. */
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
  /** Id of the message. */
  readonly messageId: string;
  /** Address of the destination. */
  readonly url: string;
  /** HTTP method of the delivery. */
  readonly method: string;
  /** Headers that were sent to the destination, including the signature. */
  readonly headers: Readonly<Record<string, string>>;
  /** Body that was sent, as text. */
  readonly body: string;
  /** Number of the attempt, as in the header `Upstash-Retried`: 0 for the first attempt. */
  readonly attempt: number;
  /** Result of the attempt; `delivering` until the attempt has ended. */
  readonly outcome: QStashDeliveryOutcome;
  /** Status code of the answer; undefined if no answer has arrived. */
  readonly status: number | undefined;
  /** Reason why no answer arrived. */
  readonly error: string | undefined;
  /** True when a fault caused this additional delivery of the message. */
  readonly duplicate: boolean;
  /** Time at which the attempt began. */
  readonly startedAt: Date;
  /** Time at which the attempt ended; undefined before that. */
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
