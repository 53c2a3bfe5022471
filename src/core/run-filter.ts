import type { ShownStatus } from './run.js';

/**
 * Conditions that select runs, after their check. A run is selected when it meets every condition
 * that is present. A run meets a list when any member matches, and `tags` when all tags match.
 * Times are milliseconds since the epoch; `after` is inclusive and `before` is exclusive.
 */
export interface RunConditions {
  readonly name?: readonly string[];
  readonly version?: readonly number[];
  readonly status?: readonly ShownStatus[];
  readonly queue?: readonly string[];
  /** True for runs that wait for a deployment with code that fits their history. */
  readonly blocked?: boolean;
  /** The run that started the selected runs; null for runs that no run started. */
  readonly parentRunId?: string | null;
  readonly tags?: Readonly<Record<string, string>>;
  readonly errorCode?: readonly string[];
  readonly failedStep?: readonly string[];
  readonly createdAfter?: number;
  readonly createdBefore?: number;
  readonly finishedAfter?: number;
  readonly finishedBefore?: number;
}
