import { decodeTime } from 'ulid';

import { isDate } from '../codec.js';
import type { NewWorldEvent } from '../contract.js';
import type { Kit } from '../kit.js';

const MAX_AGE_MS = 24 * 3_600_000;
const MAX_AHEAD_MS = 5 * 60_000;

/** Checks the values of an event before a statement gets them. */
export class EventChecks {
  constructor(private readonly kit: Kit) {}

  /** Checks the id of a new run: a recent ULID. */
  checkRunId(runId: string): void {
    const age = Date.now() - this.checkUlid(runId);
    if (age > MAX_AGE_MS || age < -MAX_AHEAD_MS) {
      throw this.invalid(`run id ${runId} must be a ULID of the last 24 hours, and not more than 5 minutes ahead`);
    }
  }

  /** Checks that the id of a run is a ULID, and returns its time. */
  checkUlid(runId: string): number {
    const ulid = runId.startsWith('wrun_') ? runId.slice(5) : '';
    if (!/^[0-7][0-9A-HJKMNP-TV-Z]{25}$/.test(ulid)) throw this.invalid(`run id ${JSON.stringify(runId)} must be wrun_ and a ULID`);
    return decodeTime(ulid);
  }

  /** Reads a text of the event's data. */
  text({ eventType, eventData }: NewWorldEvent, field: string): string {
    const value = eventData?.[field];
    if (typeof value !== 'string' || value === '') throw this.invalid(`${eventType} needs the text ${field}`);
    return value;
  }

  /** Reads a time as milliseconds. The kit hands over dates; a JSON text of one is taken too. */
  time({ eventType, eventData }: NewWorldEvent, field: string): number | null {
    const value = eventData?.[field];
    if (value === undefined) return null;
    const ms = isDate(value)
      ? value.getTime()
      : typeof value === 'string' || typeof value === 'number'
        ? new Date(value).getTime()
        : Number.NaN;
    if (Number.isNaN(ms)) throw this.invalid(`${field} of ${eventType} must be a valid date`);
    return ms;
  }

  /** Error for a value that the World does not take. */
  invalid(text: string): Error {
    return new this.kit.errors.WorkflowWorldError(text, { status: 400 });
  }
}

/** Returns an event's data without the input of a step. */
export function withoutInput({ eventData }: NewWorldEvent): Record<string, unknown> | undefined {
  if (eventData === undefined) return undefined;
  const { input: _input, ...rest } = eventData;
  return rest;
}
