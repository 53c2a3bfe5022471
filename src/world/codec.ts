/**
 * JSON with bytes, dates and big numbers: what the kit hands over must come out as it went in.
 * Tagged values are objects with one key; an object of the kit that looks like one is wrapped.
 */
const TAGS = new Set(['$bytes', '$date', '$bigint', '$object']);

/** Converts a value to one that JSON can hold. */
function tag(value: unknown): unknown {
  if (typeof value === 'bigint') return { $bigint: value.toString() };
  if (typeof value !== 'object' || value === null) return value;
  if (isBytes(value)) return { $bytes: Buffer.from(value.buffer, value.byteOffset, value.byteLength).toString('base64') };
  if (isDate(value)) return { $date: value.getTime() };
  if (Array.isArray(value)) return value.map(tag);
  const entries = Object.entries(value).map(([key, each]): [string, unknown] => [key, tag(each)]);
  const plain = Object.fromEntries(entries);
  return entries.length === 1 && TAGS.has(entries[0]![0]) ? { $object: plain } : plain;
}

function untag(value: unknown): unknown {
  if (typeof value !== 'object' || value === null) return value;
  if (Array.isArray(value)) return value.map(untag);
  const entries = Object.entries(value as Record<string, unknown>);
  if (entries.length === 1) {
    const [key, inner] = entries[0]!;
    if (key === '$bytes') return plainBytes(Buffer.from(inner as string, 'base64'));
    if (key === '$date') return new Date(inner as number);
    if (key === '$bigint') return BigInt(inner as string);
    if (key === '$object') return untagEntries(Object.entries(inner as Record<string, unknown>));
  }
  return untagEntries(entries);
}

function untagEntries(entries: [string, unknown][]): Record<string, unknown> {
  return Object.fromEntries(entries.map(([key, each]) => [key, untag(each)]));
}

/**
 * True for bytes of any realm. Workflow code runs in a context of its own, whose Uint8Array is
 * another class.
 */
export function isBytes(value: unknown): value is Uint8Array {
  return ArrayBuffer.isView(value) && Object.prototype.toString.call(value) === '[object Uint8Array]';
}

/** True for a date of any realm. */
export function isDate(value: unknown): value is Date {
  return Object.prototype.toString.call(value) === '[object Date]';
}

/** Copies bytes into an array of their own. A Buffer may share its memory with other values. */
export function plainBytes(buffer: Uint8Array): Uint8Array {
  return new Uint8Array(buffer);
}

/**
 * Encodes a value as JSON text.
 *
 * @returns null for undefined
 */
export function encodeJson(value: unknown): string | null {
  return value === undefined ? null : JSON.stringify(tag(value));
}

/** Decodes a value that the driver has already parsed as JSON; undefined for SQL NULL. */
export function decodeJson(parsed: unknown): unknown {
  return parsed === null || parsed === undefined ? undefined : untag(parsed);
}

/** Decodes the text form of `bytea`. */
export function decodeBytes(text: string): Uint8Array {
  return plainBytes(Buffer.from(text.slice(2), 'hex'));
}

/** Field of an event's data that holds the payload, by event type. */
const PAYLOAD_FIELDS: Readonly<Record<string, string>> = {
  run_created: 'input',
  run_started: 'input',
  run_completed: 'output',
  run_failed: 'error',
  step_created: 'input',
  step_started: 'input',
  step_completed: 'result',
  step_failed: 'error',
  step_retrying: 'error',
  hook_created: 'metadata',
  hook_received: 'payload',
};

/** Columns of an event's data. */
export interface EncodedData {
  readonly data: string | null;
  readonly payload: Uint8Array | null;
}

/** Separates the payload's bytes, which are stored unchanged, from the rest of an event's data. */
export function encodeData(type: string, data: Record<string, unknown> | undefined): EncodedData {
  if (data === undefined) return { data: null, payload: null };
  const field = PAYLOAD_FIELDS[type];
  const payload = field === undefined ? undefined : data[field];
  if (field === undefined || !isBytes(payload)) return { data: encodeJson(data), payload: null };
  const { [field]: _payload, ...rest } = data;
  return { data: encodeJson(rest), payload: new Uint8Array(payload) };
}

/** Puts an event's data together again. */
export function decodeData(type: string, data: unknown, payload: string | null): Record<string, unknown> | undefined {
  const decoded = decodeJson(data) as Record<string, unknown> | undefined;
  if (payload === null) return decoded;
  return { ...decoded, [PAYLOAD_FIELDS[type]!]: decodeBytes(payload) };
}

/** Returns the payload of an event's data. */
export function payloadOf(type: string, data: Record<string, unknown> | undefined): unknown {
  const field = PAYLOAD_FIELDS[type];
  return field === undefined ? undefined : data?.[field];
}

/** Returns an event's data without the payload; undefined when nothing else is in the data. */
export function withoutPayload(type: string, data: Record<string, unknown> | undefined): Record<string, unknown> | undefined {
  const field = PAYLOAD_FIELDS[type];
  if (data === undefined || field === undefined) return data;
  const { [field]: _payload, ...rest } = data;
  return Object.keys(rest).length === 0 ? undefined : rest;
}
