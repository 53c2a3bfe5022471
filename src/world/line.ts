import { createHash } from 'node:crypto';

import { encodeTime } from 'ulid';

import { withoutPayload } from './codec.js';
import type { CreatedEvent } from './contract.js';

/** Differences between the lines of the kit. */
export interface Line {
  readonly specVersion: number;
  /** Newest version of runs that this line can execute. */
  readonly maxSpecVersion: number;
  /** Makes the id of an event from its place in the run and its time. */
  eventId(runId: string, slot: number, atMs: number): string;
  /** Reads the place from an id; undefined for an id that the World has not made. */
  slotOf(eventId: string): number | undefined;
  /** Fields of a run or step that ended with an error, from the data of the event. */
  errorOf(data: Record<string, unknown> | undefined): unknown;
  /** True when runs have attributes, and an error code beside the error. */
  readonly hasAttributes: boolean;
  /** True when the ids of events are their places in the run. */
  readonly hasDenseEvents: boolean;
}

const ALPHABET = '0123456789ABCDEFGHJKMNPQRSTVWXYZ';
/** Characters of an id that hold the slot: enough for 30 bits. */
const SLOT_LENGTH = 6;

function encodeSlot(slot: number): string {
  let text = '';
  for (let rest = slot, each = 0; each < SLOT_LENGTH; each++) {
    text = ALPHABET[rest % 32]! + text;
    rest = Math.floor(rest / 32);
  }
  return text;
}

function decodeSlot(text: string): number | undefined {
  let slot = 0;
  for (const character of text) {
    const value = ALPHABET.indexOf(character);
    if (value < 0) return undefined;
    slot = slot * 32 + value;
  }
  return slot;
}

/**
 * ULID whose random part is the run and the place in the run, so that the id need not be stored.
 * The time must be that of the event, because the kit reads the time of the last event from the id.
 */
const ulidEvents: Pick<Line, 'eventId' | 'slotOf'> = {
  eventId(runId, slot, atMs) {
    const digest = createHash('sha256').update(runId).digest();
    const run = [...digest.subarray(0, 10)].map((byte) => ALPHABET[byte % 32]).join('');
    return `evnt_${encodeTime(atMs, 10)}${run}${encodeSlot(slot)}`;
  },
  slotOf: (eventId) => (/^evnt_[0-9A-Z]{26}$/.test(eventId) ? decodeSlot(eventId.slice(-SLOT_LENGTH)) : undefined),
};

/** The place in the run as 26 digits. */
const denseEvents: Pick<Line, 'eventId' | 'slotOf'> = {
  eventId: (_runId, slot) => `evnt_${String(slot).padStart(26, '0')}`,
  slotOf: (eventId) => (/^evnt_\d{26}$/.test(eventId) ? Number(eventId.slice(5)) : undefined),
};

/** Error of the stable line: message, stack and code in plain text. */
function structuredError(data: Record<string, unknown> | undefined): unknown {
  const { error, stack, errorCode } = data ?? {};
  const given = typeof error === 'object' && error !== null ? (error as Record<string, unknown>) : { message: error };
  const text = given['message'];
  const trace = given['stack'] ?? stack;
  return {
    message: typeof text === 'string' ? text : (JSON.stringify(text) ?? 'Unknown error'),
    ...(typeof trace === 'string' ? { stack: trace } : {}),
    ...(typeof errorCode === 'string' ? { code: errorCode } : {}),
  };
}

/** Returns the line that speaks a version of the contract, and executes runs up to another one. */
export function lineOf(specVersion: number, maxSpecVersion: number): Line {
  const versions = { specVersion, maxSpecVersion };
  if (specVersion < 4) return { ...versions, ...ulidEvents, errorOf: structuredError, hasAttributes: false, hasDenseEvents: false };
  const errorOf = (data: Record<string, unknown> | undefined): unknown => data?.['error'];
  return specVersion < 6
    ? { ...versions, ...ulidEvents, errorOf, hasAttributes: true, hasDenseEvents: false }
    : { ...versions, ...denseEvents, errorOf, hasAttributes: true, hasDenseEvents: true };
}

/** Removes payloads from an answer. */
export function withoutPayloads(answer: CreatedEvent): CreatedEvent {
  const { run, step, hook, event, ...rest } = answer;
  return {
    ...rest,
    ...(event === undefined ? {} : { event: { ...event, eventData: withoutPayload(event.eventType, event.eventData) } }),
    ...(run === undefined ? {} : { run: { ...run, input: undefined, output: undefined } }),
    ...(step === undefined ? {} : { step: { ...step, input: undefined, output: undefined } }),
    ...(hook === undefined ? {} : { hook: { ...hook, metadata: undefined } }),
  };
}
