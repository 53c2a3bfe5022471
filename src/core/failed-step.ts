/** A step that is recorded with an error. */
export interface FailedStep {
  readonly stepKey: string;
  /** As it was stored. */
  readonly error: Error;
}

/** As many as are looked at for the labels of a failure. */
const MAX_CAUSES = 32;

/**
 * The step that a run failed of: the error of the run, or one of its causes, is that of the step. Undefined for a run that failed outside of steps, or whose error
 * this process cannot read.
 *
 * @param steps in the order in which they were recorded
 */
export function failedStepOf(error: Error, steps: readonly FailedStep[]): string | undefined {
  let current: unknown = error;
  for (let depth = 0; depth < MAX_CAUSES && current instanceof Error; depth++) {
    const { name, message, stepKey, code, cause } = current as Error & { readonly stepKey?: unknown; readonly code?: unknown };
    const found = steps.findLast((step) => step.stepKey === stepKey || (step.error.name === name && step.error.message === message));
    if (found) return found.stepKey;
    // Below it come the steps of another run.
    if (code === 'WORKFLOW_FAILED') return undefined;
    current = cause;
  }
  return undefined;
}
