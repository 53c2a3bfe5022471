/** What operators look a failed run up by. */
export interface Failure {
  /** The `code` of the error that the application threw, or its name where it has none. */
  readonly code: string;
  /** The name of the step that the run failed by; null when it failed outside of steps. */
  readonly step: string | null;
}

/** Errors of ours that wrap another, by code: they say how it got here, and the wrapped one what went wrong. */
const WRAPPERS = new Map([
  ['STEP_FAILED', 'StepFailedError'],
  ['NON_RETRYABLE', 'NonRetryableError'],
  ['RETRYABLE', 'RetryableError'],
  ['WORKFLOW_FAILED', 'WorkflowFailedError'],
]);

const MAX_LABEL_LENGTH = 255;

/** More than are stored of an error; getters of the application's classes may give ever more. */
const MAX_CAUSES = 32;

// oxlint-disable-next-line no-control-regex -- control characters are what it looks for
const CONTROL = /[\u0000-\u001f\u007f]/g;

/**
 * The labels of a run that failed with this error.
 *
 * The code is that of the first error in the chain of causes that is the application's own, not the innermost: an application that turns a
 * library's error into one of its own did so in order to be asked by it.
 *
 * @param error as it was stored
 * @param nameOfStep the name of a step of the run, by its key; undefined when the run has no such step
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
    // An application's own subclass inherits the code; its name says more.
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
    // Below it come the steps of another run.
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

/** An instance of a class that the application registered may have getters that throw. */
function fieldsOf(error: unknown): ErrorFields {
  if (typeof error !== 'object' || error === null) return {};
  try {
    const { name, code, cause, stepKey } = error as ErrorFields;
    return { name, code, cause, stepKey };
  } catch {
    return {};
  }
}

/** Text that a column and a filter can hold. */
function labelOf(value: unknown): string | undefined {
  const text = typeof value === 'number' ? String(value) : value;
  if (typeof text !== 'string' || text === '') return undefined;
  return text.replace(CONTROL, ' ').slice(0, MAX_LABEL_LENGTH).toWellFormed();
}

/** What failures can be grouped by. */
export type FailureDimension = 'workflow' | 'errorCode' | 'failedStep';
