import { createHash } from 'node:crypto';

import type { DispatchKey } from '../core/run.js';

/**
 * Content of a notification between processes. It only shortens waits: everything also works
 * without it.
 */
export interface Notice {
  /** Dispatch keys of runs that have become due. */
  readonly due?: readonly DispatchKey[];
  /** Ids of runs that have ended. */
  readonly ended?: readonly string[];
  /** Ids of runs that have received a message. */
  readonly messages?: readonly string[];
  /** Ids of runs that have written to their streams. */
  readonly streams?: readonly string[];
  /**
   * True when the sender may have recorded run events. A process without a worker does not know
   * which events have listeners, so it always sets this field when it has ended runs.
   */
  readonly events?: boolean;
  /** True when the sender has emitted events. */
  readonly emitted?: boolean;
  /** Time when a suspended or delayed run becomes due, in milliseconds since the epoch. */
  readonly wakeAt?: number;
}

/**
 * Content of a payload. `s` is the sender; `d`, `e`, `m`, `c`, `v`, `w` and `x` are the fields of
 * the notice.
 */
interface Wire {
  readonly s: string;
  readonly d: [queue: string, name: string, version: number][];
  readonly e: string[];
  readonly m: string[];
  c?: string[];
  v?: 1;
  x?: 1;
  w?: number;
}

const emptyWire = (sender: string): Wire => ({ s: sender, d: [], e: [], m: [] });

/** Maximum number of bytes of a payload. PostgreSQL's own limit is 8,000 bytes. */
const MAX_PAYLOAD_BYTES = 7_000;

/**
 * Returns the name of a schema's notification channel. PostgreSQL limits channel names to 63 bytes.
 */
export function channelOf(schemaName: string): string {
  return `durable_${createHash('sha256').update(schemaName).digest('hex').slice(0, 24)}`;
}

/**
 * Returns the name of the channel on which a connection tests whether notifications arrive. All
 * processes use the same name: behind a pooler some server connections keep listening, and new
 * names would accumulate on them.
 */
export function probeChannelOf(schemaName: string): string {
  return `${channelOf(schemaName)}_probe`;
}

/**
 * Collects notices for a few milliseconds, so that even a thousand ended runs need only a few
 * notifications.
 */
export class NoticeBatch {
  private readonly due = new Map<string, DispatchKey>();
  private readonly ended = new Set<string>();
  private readonly messages = new Set<string>();
  private readonly streams = new Set<string>();
  private hasEvents = false;
  private hasEmitted = false;
  private wakeAt = Number.POSITIVE_INFINITY;

  add(notice: Notice): void {
    for (const key of notice.due ?? []) this.due.set(`${key.queue}\n${key.name}\n${key.version}`, key);
    for (const id of notice.ended ?? []) this.ended.add(id);
    for (const id of notice.messages ?? []) this.messages.add(id);
    for (const id of notice.streams ?? []) this.streams.add(id);
    if (notice.events) this.hasEvents = true;
    if (notice.emitted) this.hasEmitted = true;
    if (notice.wakeAt !== undefined) this.wakeAt = Math.min(this.wakeAt, notice.wakeAt);
  }

  /** Empties the batch and returns the payloads to send, each below PostgreSQL's limit. */
  take(sender: string): string[] {
    const payloads: string[] = [];
    let current: Wire = emptyWire(sender);
    let bytes = 0;
    const cut = (): void => {
      if (bytes > 0) payloads.push(JSON.stringify(current));
      current = emptyWire(sender);
      bytes = 0;
    };
    const put = (size: number, write: () => void): void => {
      if (bytes + size > MAX_PAYLOAD_BYTES - 200) cut();
      bytes += size;
      write();
    };
    for (const { queue, name, version } of this.due.values()) {
      put(jsonBytes(queue) + jsonBytes(name) + 16, () => current.d.push([queue, name, version]));
    }
    for (const id of this.ended) put(jsonBytes(id) + 1, () => current.e.push(id));
    for (const id of this.messages) put(jsonBytes(id) + 1, () => current.m.push(id));
    for (const id of this.streams) put(jsonBytes(id) + 1, () => (current.c ??= []).push(id));
    if (this.hasEvents) put(6, () => (current.v = 1));
    if (this.hasEmitted) put(6, () => (current.x = 1));
    if (Number.isFinite(this.wakeAt)) put(20, () => (current.w = this.wakeAt));
    cut();
    this.due.clear();
    this.ended.clear();
    this.messages.clear();
    this.streams.clear();
    this.hasEvents = false;
    this.hasEmitted = false;
    this.wakeAt = Number.POSITIVE_INFINITY;
    return payloads;
  }
}

/**
 * Maximum length of an id or a name in a notice, in characters. `checkText` accepts no longer text.
 */
const MAX_TEXT_LENGTH = 255;

/**
 * Reads a payload. Any role of the database may send payloads, and another version of this package
 * may send another format. So each field is checked, and the whole payload is ignored when one
 * field is invalid.
 *
 * @returns undefined for a payload that this process sent itself, and for an invalid one
 */
export function parseNotice(payload: string, self: string): Notice | undefined {
  let wire: unknown;
  try {
    wire = JSON.parse(payload);
  } catch {
    return undefined;
  }
  if (typeof wire !== 'object' || wire === null) return undefined;
  const { s, d = [], e = [], m = [], c = [], v, w, x } = wire as Readonly<Record<string, unknown>>;
  if (typeof s !== 'string' || s === self) return undefined;
  if (!isListOf(d, isKey) || !isListOf(e, isText) || !isListOf(m, isText) || !isListOf(c, isText)) return undefined;
  if (w !== undefined && !isTime(w)) return undefined;
  return {
    due: d.map(([queue, name, version]) => ({ queue, name, version })),
    ended: e,
    messages: m,
    ...(c.length === 0 ? {} : { streams: c }),
    ...(v === 1 ? { events: true } : {}),
    ...(x === 1 ? { emitted: true } : {}),
    ...(w === undefined ? {} : { wakeAt: w }),
  };
}

/**
 * Checks each item of a list. The list needs no length limit, because PostgreSQL limits a payload
 * to 8,000 bytes.
 */
function isListOf<T>(value: unknown, isItem: (item: unknown) => item is T): value is T[] {
  return Array.isArray(value) && value.every(isItem);
}

function isText(value: unknown): value is string {
  return typeof value === 'string' && value.length > 0 && value.length <= MAX_TEXT_LENGTH;
}

function isKey(value: unknown): value is [queue: string, name: string, version: number] {
  return Array.isArray(value) && value.length === 3 && isText(value[0]) && isText(value[1]) && Number.isInteger(value[2]);
}

/**
 * True for a time that a Date can represent: at most 8.64e15 milliseconds before or after the
 * epoch.
 */
function isTime(value: unknown): value is number {
  return typeof value === 'number' && Math.abs(value) <= 8.64e15;
}

function jsonBytes(text: string): number {
  return Buffer.byteLength(JSON.stringify(text));
}
