// Public types must not need the types of pg, as control.ts does.
import { checkText } from '../../core/ids.js';
import { encode } from '../../core/serializer/index.js';
import type { FollowOptions } from '../follow-options.js';
import type { ManagerOption } from '../transactions/manager-option.js';

/** Author and reason of a change to a run. Both appear in the run's history. */
export interface AuditOptions {
  /** Name of the person or system that makes the call. */
  actor?: string;
  /** Reason for the call. */
  reason?: string;
}

/** Keys of AuditOptions. */
export const ACTOR_KEYS = ['actor', 'reason'] as const;

/**
 * Encodes actor and reason as the JSON text of a history event.
 *
 * @throws InvalidInputError
 */
export function noteOf(given: AuditOptions, more: Readonly<Record<string, string>> = {}): string {
  const actor = given.actor === undefined ? undefined : checkText(given.actor, 'options.actor');
  const reason = given.reason === undefined ? undefined : checkText(given.reason, 'options.reason');
  return encode({ ...(actor === undefined ? {} : { actor }), ...(reason === undefined ? {} : { reason }), ...more }, 'options');
}

/** Author and reason of a cancel request, and its transaction. */
export interface CancelOptions extends AuditOptions {
  /**
   * Transaction to join: the request takes effect when that transaction commits. `'none'` also
   * ignores the ambient transaction (default: the ambient transaction, if any).
   */
  manager?: ManagerOption;
}

/** Selects the step from which a run is executed again. */
export interface RetryRunOptions extends AuditOptions {
  /**
   * Key of a recorded step, as `client.steps` shows it or as the application wrote it. The run
   * executes this step again, and all steps that were recorded after it.
   */
  fromStep?: string;
}

/** Selects the run to fork, and the step from which the new run executes. */
export interface ForkOptions extends RetryRunOptions, FollowOptions {}

/** Result that is set for a step. */
export type StepResult = { output: unknown; error?: never } | { error: unknown; output?: never };
