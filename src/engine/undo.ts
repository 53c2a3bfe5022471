import type { CompensateOn } from '../core/compensation.js';
import type { RetryPolicy } from '../core/retry-policy.js';
import type { WantedIsolation } from '../core/transactional.js';

/** Compensation of one call. */
export interface Undo {
  readonly on: CompensateOn;
  /** Retry policy of the compensation. */
  readonly retry: RetryPolicy;
  /** Milliseconds that one attempt at the compensation may take; null for no limit. */
  readonly timeoutMs: number | null;
  /** Isolation level of the compensation's transaction; absent for one without a transaction. */
  readonly isolation?: WantedIsolation | undefined;
  /** Name of the limit that each attempt at the compensation observes; absent without a limit. */
  readonly limit?: string | undefined;
  /** Arguments of the call, as JSON text. */
  readonly args: string;
  /**
   * Undoes the call.
   *
   * @param output output of the call; undefined when it has none
   */
  readonly body: (output: unknown, args: readonly unknown[]) => unknown;
}

/** Compensation of a step as its author gave it. */
export interface UndoSource {
  /** Steps that are undone. (default: `'completed'`) */
  readonly on?: CompensateOn | undefined;
  readonly body: Undo['body'];
  /**
   * Retry policy, time limit, transaction and limit; absent to take the first two from the step,
   * and to use no transaction and no limit.
   */
  readonly policy?: Pick<Undo, 'retry' | 'timeoutMs' | 'isolation' | 'limit'> | undefined;
}
