import type { ShownStatus } from './run.js';

/**
 * Validated conditions that select runs. A run is selected when it meets every condition that is
 * present. The run meets a list when one member of the list matches. The run meets `tags` when it
 * has all of the tags. Times are milliseconds since the epoch. `After` times are inclusive, and
 * `Before` times are exclusive.
 */
export interface RunConditions {
  readonly name?: readonly string[];
  readonly version?: readonly number[];
  readonly status?: readonly ShownStatus[];
  readonly queue?: readonly string[];
  /** True to select runs that wait for a deployment whose code fits their history. */
  readonly blocked?: boolean;
  /** Id of the run that started the selected runs; null selects runs that no other run started. */
  readonly parentRunId?: string | null;
  /** Name of the schedule that started the selected runs. */
  readonly schedule?: string;
  readonly tags?: Readonly<Record<string, string>>;
  /** Null selects failed runs whose error has no code. */
  readonly errorCode?: readonly string[] | null;
  /** Null selects runs that failed outside a step. */
  readonly failedStep?: readonly string[] | null;
  readonly createdAfter?: number;
  readonly createdBefore?: number;
  readonly finishedAfter?: number;
  readonly finishedBefore?: number;
}
