import type { Publication } from './publication.js';

/** What became of a message so far. */
export type QStashMessageState = 'pending' | 'delivering' | 'retrying' | 'delivered' | 'dead' | 'cancelled' | 'lost';

/** A message that was accepted. */
export interface Message extends Publication {
  readonly messageId: string;
  /** Counts up with every message. */
  readonly sequence: number;
  readonly createdAt: number;
  readonly dueAt: number;
  readonly callerIp: string;
  state: QStashMessageState;
  /** How many attempts there have been. */
  attempts: number;
}

/** A message as a test sees it. Times are those of the emulator's clock. */
export interface QStashMessageRecord {
  readonly messageId: string;
  readonly url: string;
  readonly method: string;
  /** What is forwarded to the destination. */
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
  readonly state: QStashMessageState;
  readonly attempts: number;
  readonly createdAt: Date;
  /** When it is to be delivered first. */
  readonly notBefore: Date;
  readonly deduplicationId: string | undefined;
  readonly queue: string | undefined;
  readonly flowControlKey: string | undefined;
  readonly scheduleId: string | undefined;
}

/** What came of one attempt. `unacknowledged`: it succeeded, and a fault threw the answer away. */
export type QStashDeliveryOutcome = 'delivering' | 'delivered' | 'failed' | 'unacknowledged';

/** One attempt to deliver a message. Times are those of the emulator's clock. */
export interface QStashDeliveryRecord {
  readonly messageId: string;
  readonly url: string;
  readonly method: string;
  /** What was sent, the signature among it. */
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
  /** As in `Upstash-Retried`: 0 is the first. */
  readonly attempt: number;
  readonly outcome: QStashDeliveryOutcome;
  /** Undefined while there is no answer, and where there came none. */
  readonly status: number | undefined;
  /** Why there came no answer. */
  readonly error: string | undefined;
  /** Whether a fault brought it: the message is delivered without it as well. */
  readonly duplicate: boolean;
  readonly startedAt: Date;
  readonly endedAt: Date | undefined;
}

export function isOver({ state }: Message): boolean {
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

/** As the API shows a body: text where it is text. */
export function bodyFields<Name extends string>(body: Buffer, name: Name): Partial<Record<Name | `${Name}Base64`, string>> {
  const shown: Record<string, string> = {};
  try {
    shown[name] = utf8.decode(body);
  } catch {
    shown[`${name}Base64`] = body.toString('base64');
  }
  return shown as Partial<Record<Name | `${Name}Base64`, string>>;
}

/** As the API shows settings that messages and schedules have in common. */
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
    period: flow === undefined ? undefined : flow.period / 1_000,
    label: labels[0],
    labels: labels.length === 0 ? undefined : labels,
  };
}

/** As the API shows a message. */
export function messageView(message: Message): object {
  const { messageId, url, dueAt, createdAt, scheduleId, callerIp } = message;
  return { messageId, url, ...publicationView(message), notBefore: dueAt, createdAt, scheduleId, callerIP: callerIp };
}
