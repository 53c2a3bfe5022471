import type { NewRun } from '../core/run.js';

/** Prepares runs that a workflow starts. */
export interface RunStarter {
  /**
   * Checks the workflow and the options of a start. The input is checked later.
   *
   * @throws InvalidInputError, WorkflowNotFoundError
   */
  check(workflow: unknown, options: object): PreparedStart;
  /**
   * Returns the id of a run that a step starts. The id is derived from the step key, so every
   * attempt gets the same id.
   */
  idFor(runId: string, stepKey: string): string;
}

/** Start of a run. The workflow and the options have been checked, but not the input. */
export interface PreparedStart {
  /** Name of the workflow. */
  readonly name: string;
  /**
   * Returns the run that is to be started, with its checked and encoded input.
   *
   * @throws InvalidInputError, SerializationError, PayloadTooLargeError
   */
  withInput(input: unknown): Promise<NewRun>;
}
