import type { Publication } from './publication.js';

/** State of a message. `dead`: all attempts failed; `lost`: dropped because of a fault. */
export type QStashMessageState = 'pending' | 'delivering' | 'retrying' | 'delivered' | 'dead' | 'cancelled' | 'lost';

/** Accepted message. */
export interface Message extends Publication {
  readonly messageId: string;
  /** Number of the message, which increases with every message. */
  readonly sequence: number;
  readonly createdAt: number;
  readonly dueAt: number;
  readonly callerIp: string;
  state: QStashMessageState;
  /** Number of attempts so far. */
  attempts: number;
}

/** Message as tests see it. Times are those of the emulator's clock. */
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
  /** Time of the first delivery. */
  readonly notBefore: Date;
  readonly deduplicationId: string | undefined;
  readonly queue: string | undefined;
  readonly flowControlKey: string | undefined;
  readonly scheduleId: string | undefined;
}

/**
 * Result of one attempt. `unacknowledged`: the attempt succeeded, but a fault dropped the answer.
 */
export type QStashDeliveryOutcome = 'delivering' | 'delivered' | 'failed' | 'unacknowledged';

/** Attempt to deliver a message. Times are those of the emulator's clock. */
export interface QStashDeliveryRecord {
  readonly messageId: string;
  readonly url: string;
  readonly method: string;
  /** Headers that were sent, including the signature. */
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
  /** Number of the attempt as in `Upstash-Retried`: 0 is the first. */
  readonly attempt: number;
  readonly outcome: QStashDeliveryOutcome;
  /** Status of the answer; undefined before the answer, and when no answer arrived. */
  readonly status: number | undefined;
  /** Reason why no answer arrived. */
  readonly error: string | undefined;
  /** True when a fault caused this delivery; the message is delivered without it too. */
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

/** Shows a body as the API does: as text if it is UTF-8, otherwise as base64. */
export function bodyFields<Name extends string>(body: Buffer, name: Name): Partial<Record<Name | `${Name}Base64`, string>> {
  const shown: Record<string, string> = {};
  try {
    shown[name] = utf8.decode(body);
  } catch {
    shown[`${name}Base64`] = body.toString('base64');
  }
  return shown as Partial<Record<Name | `${Name}Base64`, string>>;
}

/** Shows the settings that messages and schedules share, as the API does. */
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

/** Shows a message as the API does. */
export function messageView(message: Message): object {
  const { messageId, url, dueAt, createdAt, scheduleId, callerIp } = message;
  return { messageId, url, ...publicationView(message), notBefore: dueAt, createdAt, scheduleId, callerIP: callerIp };
}
