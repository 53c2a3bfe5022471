/**
 * Content of a message that QStash delivers. Names the due run; all other data of the run is in
 * PostgreSQL.
 */
export interface WakeUpMessage {
  readonly run: string;
  readonly queue: string;
  /** Text that is different for each time the run must be executed: the `seq` of its wake-up. */
  readonly seq: string;
}

const VERSION = 1;

export function encodeMessage({ run, queue, seq }: WakeUpMessage): string {
  return JSON.stringify({ v: VERSION, run, queue, seq });
}

/**
 * Decodes the body of a delivery. Returns `unknown` for a body that another version of this
 * package, or another sender, wrote.
 */
export function decodeMessage(body: string): WakeUpMessage | 'unknown' {
  let value: unknown;
  try {
    value = JSON.parse(body);
  } catch {
    return 'unknown';
  }
  if (typeof value !== 'object' || value === null) return 'unknown';
  const { v, run, queue, seq } = value as Record<string, unknown>;
  const isKnown = v === VERSION && typeof run === 'string' && run !== '' && typeof queue === 'string' && typeof seq === 'string';
  // PostgreSQL cannot store text with a zero character or lone surrogates, so no run has this id.
  if (!isKnown || run.includes('\0') || !run.isWellFormed()) return 'unknown';
  return { run, queue, seq };
}

/** Part of the sweep that QStash can call alone: schedules, or queues with rate limits. */
export type SweepPart = 'schedules' | 'queues';

/** Bodies of messages that ask only for a part of the sweep. Other bodies ask for a whole sweep. */
const PARTS: Readonly<Record<SweepPart, string>> = {
  schedules: JSON.stringify({ v: VERSION, schedules: true }),
  queues: JSON.stringify({ v: VERSION, queues: true }),
};

export function encodeSweep(part: SweepPart): string {
  return PARTS[part];
}

/** Returns the part of the sweep that a message asks for. */
export function decodeSweep(body: string): SweepPart | 'all' {
  if (body === PARTS.schedules) return 'schedules';
  return body === PARTS.queues ? 'queues' : 'all';
}
