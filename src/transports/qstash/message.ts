/** What goes through QStash: that a run wants to be executed. Everything else is in PostgreSQL. */
export interface WakeUpMessage {
  readonly run: string;
  readonly queue: string;
  readonly seq: string;
}

const VERSION = 1;

export function encodeMessage({ run, queue, seq }: WakeUpMessage): string {
  return JSON.stringify({ v: VERSION, run, queue, seq });
}

/** What a delivery's body says; `unknown` for one of another version, or of somebody else. */
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
  // PostgreSQL has no such text, and so no such run.
  if (!isKnown || run.includes('\0') || !run.isWellFormed()) return 'unknown';
  return { run, queue, seq };
}
