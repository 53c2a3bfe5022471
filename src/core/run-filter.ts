import type { ShownStatus } from './run.js';

/**
 * Which runs, as checked: what is absent does not restrict, and of what is there every condition holds. A run meets a list with any of its members, and
 * `tags` with all of them. Times are milliseconds since the epoch, from `after` (included) to `before` (excluded).
 */
export interface RunConditions {
  readonly name?: readonly string[];
  readonly version?: readonly number[];
  readonly status?: readonly ShownStatus[];
  readonly queue?: readonly string[];
  /** Whether the run waits for a deployment whose code fits its history. */
  readonly blocked?: boolean;
  /** The run that started it; null for runs that no run started. */
  readonly parentRunId?: string | null;
  readonly tags?: Readonly<Record<string, string>>;
  readonly errorCode?: readonly string[];
  readonly failedStep?: readonly string[];
  readonly createdAfter?: number;
  readonly createdBefore?: number;
  readonly finishedAfter?: number;
  readonly finishedBefore?: number;
}
