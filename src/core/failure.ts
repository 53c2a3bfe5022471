/** Labels by which operators find failed runs. */
export interface Failure {
  /**
   * The `code` of the error that the application threw, or the name of the error if it has no code.
   */
  readonly code: string;
  /** The name of the step that made the run fail; null when the run failed outside of any step. */
  readonly step: string | null;
}

/** Label by which a report of failed runs can group the runs. */
export type FailureDimension = 'workflow' | 'version' | 'errorCode' | 'failedStep' | 'hour';

/** A step that was recorded with an error. */
export interface FailedStep {
  readonly stepKey: string;
  /** The error, decoded from its stored form. */
  readonly error: Error;
}

/**
 * Errors of this package that wrap another error: the class name of the wrapper, by its `code`. A
 * failure gets its label from the wrapped error, because that error says what went wrong.
 */
const WRAPPERS = new Map([
  ['STEP_FAILED', 'StepFailedError'],
  ['NON_RETRYABLE', 'NonRetryableError'],
  ['RETRYABLE', 'RetryableError'],
  ['WORKFLOW_FAILED', 'WorkflowFailedError'],
]);

const MAX_LABEL_LENGTH = 255;

/**
 * Largest number of errors that are searched in a chain of causes. An error class of the
 * application may have a `cause` getter that returns a new error each time. Without the limit, the
 * search would then never end. Chains of stored errors are shorter than the limit.
 */
const MAX_CAUSES = 32;

// oxlint-disable-next-line no-control-regex -- control characters are what it looks for
const CONTROL = /[\u0000-\u001f\u007f]/g;

/**
 * Returns the labels of a run that failed with this error.
 *
 * The code comes from the application's outermost error in the chain of causes, not from the
 * innermost error. When an application wraps a library's error in an error of its own, operators
 * search for the application's error.
 *
 * @param error the error as it was stored
 * @param nameOfStep returns the name of the step with the given key, or undefined for an unknown
 *   key
 */
export function failureOf(error: unknown, nameOfStep: (stepKey: string) => string | undefined): Failure {
  return { code: codeOf(error), step: stepOf(error, nameOfStep) };
}

function codeOf(error: unknown): string {
  let current = fieldsOf(error);
  for (let depth = 1; ; depth++) {
    const code = labelOf(current.code);
    const name = labelOf(current.name) ?? 'NonError';
    if (code === undefined) return name;
    const wrapper = WRAPPERS.get(code);
    if (wrapper === undefined) return code;
    // The application derived the error's class from a wrapper of this package. The class inherits
    // the code of the wrapper, so the name of the class is more specific than the code.
    if (wrapper !== name) return name;
    if (typeof current.cause !== 'object' || current.cause === null || depth === MAX_CAUSES) return code;
    current = fieldsOf(current.cause);
  }
}

function stepOf(error: unknown, nameOfStep: (stepKey: string) => string | undefined): string | null {
  let current = fieldsOf(error);
  for (let depth = 1; depth <= MAX_CAUSES; depth++) {
    if (typeof current.stepKey === 'string') {
      const name = nameOfStep(current.stepKey);
      if (name !== undefined) return labelOf(name) ?? null;
    }
    // A WorkflowFailedError reports the failure of another run, so its causes belong to the steps
    // of that run.
    if (current.code === 'WORKFLOW_FAILED' || typeof current.cause !== 'object' || current.cause === null) return null;
    current = fieldsOf(current.cause);
  }
  return null;
}

interface ErrorFields {
  readonly name?: unknown;
  readonly code?: unknown;
  readonly cause?: unknown;
  readonly stepKey?: unknown;
}

/**
 * Reads the fields of an error. Returns no fields when a getter throws, as getters of application
 * classes may do.
 */
function fieldsOf(error: unknown): ErrorFields {
  if (typeof error !== 'object' || error === null) return {};
  try {
    const { name, code, cause, stepKey } = error as ErrorFields;
    return { name, code, cause, stepKey };
  } catch {
    return {};
  }
}

/**
 * Turns a code or a name into a label: one line of valid Unicode that fits its database column.
 * Returns undefined for an empty text, and for a value that is neither a text nor a number.
 */
function labelOf(value: unknown): string | undefined {
  const text = typeof value === 'number' ? String(value) : value;
  if (typeof text !== 'string' || text === '') return undefined;
  return text.replace(CONTROL, ' ').slice(0, MAX_LABEL_LENGTH).toWellFormed();
}

/**
 * Returns the key of the step that made a run fail. The error of this step is the error of the run,
 * or one of its causes. Returns undefined when the run failed outside of any step, or when this
 * process cannot read the error.
 *
 * @param steps the failed steps in the order in which they were recorded
 */
export function failedStepOf(error: Error, steps: readonly FailedStep[]): string | undefined {
  let current: unknown = error;
  for (let depth = 0; depth < MAX_CAUSES && current instanceof Error; depth++) {
    const { name, message, stepKey, code, cause } = current as Error & { readonly stepKey?: unknown; readonly code?: unknown };
    const found = steps.findLast((step) => step.stepKey === stepKey || (step.error.name === name && step.error.message === message));
    if (found) return found.stepKey;
    // A WorkflowFailedError reports the failure of another run, so its causes belong to the steps
    // of that run.
    if (code === 'WORKFLOW_FAILED') return undefined;
    current = cause;
  }
  return undefined;
}
