import { checkText } from '../core/ids.js';
import { encode } from '../core/serializer/index.js';

/** Who does something to a run, and why: it shows in the run's events. */
export interface AuditOptions {
  actor?: string;
  reason?: string;
}

/** The keys of AuditOptions. */
export const ACTOR_KEYS = ['actor', 'reason'] as const;

/** The JSON text that events have. @throws InvalidInputError */
export function noteOf(given: AuditOptions, more: Readonly<Record<string, string>> = {}): string {
  const actor = given.actor === undefined ? undefined : checkText(given.actor, 'options.actor');
  const reason = given.reason === undefined ? undefined : checkText(given.reason, 'options.reason');
  return encode({ ...(actor === undefined ? {} : { actor }), ...(reason === undefined ? {} : { reason }), ...more }, 'options');
}
