// These types are public, and an application may compile them without the types of pg. An import
// from control.ts would need the types of pg.
import { checkText } from '../../core/ids.js';
import { encode } from '../../core/serializer/index.js';
import type { FollowOptions } from '../follow-options.js';
import type { ManagerOption } from '../transactions/manager-option.js';

/** Author of a change to a run, and the reason for it. Both appear in the run's history. */
export interface AuditOptions {
  /** Name of the person or system that makes the call, at most 255 characters. (default: none) */
  actor?: string;
  /** Reason for the call, at most 255 characters. (default: none) */
  reason?: string;
}

/** Keys of AuditOptions. */
export const AUDIT_KEYS = ['actor', 'reason'] as const;

/**
 * Encodes an actor and a reason as the JSON data of an entry in a run's history.
 *
 * @throws InvalidInputError when an option is invalid
 */
export function noteOf(given: AuditOptions, more: Readonly<Record<string, string>> = {}): string {
  const actor = given.actor === undefined ? undefined : checkText(given.actor, 'options.actor');
  const reason = given.reason === undefined ? undefined : checkText(given.reason, 'options.reason');
  return encode({ ...(actor === undefined ? {} : { actor }), ...(reason === undefined ? {} : { reason }), ...more }, 'options');
}

/** Author and reason of a cancel request, and the transaction in which it is made. */
export interface CancelOptions extends AuditOptions {
  /**
   * Transaction to join: the request takes effect when this transaction commits. `'none'` joins no
   * transaction. (default: the transaction that the module's `currentTransaction` returns, if any)
   */
  manager?: ManagerOption;
}

/** Options of a retry, which can name the step from which the run is executed again. */
export interface RetryRunOptions extends AuditOptions {
  /**
   * Key of a recorded step, as `client.steps` returns it or as the application wrote it. The run
   * executes this step again, and all steps that were recorded after it. (default: for `retry`, the
   * step that made the run fail; for `fork`, the first step)
   */
  fromStep?: string;
}

/** Options of a fork, which can name the step from which the new run is executed. */
export interface ForkOptions extends RetryRunOptions, FollowOptions {}

/** Result to set for a step: its output, or the error with which it fails. */
export type StepResult = { output: unknown; error?: never } | { error: unknown; output?: never };
