import type { StandardSchema } from '../standard-schema.js';
import type { Policies, Timing } from './schedule-types.js';

/** A schedule that `@Schedule` declares, with checked options. */
export interface DeclaredSchedule {
  readonly name: string;
  /** Name of the workflow of the runs. */
  readonly workflow: string;
  readonly timing: Timing;
  readonly policies: Policies;
  readonly input: unknown;
  /** Schema that checks the input; undefined when the workflow has none. */
  readonly schema: StandardSchema | undefined;
  readonly tags: Readonly<Record<string, string>>;
}
