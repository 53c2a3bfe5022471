import { WorkflowError } from './workflow-error.js';

/** What a schema has against a value: a message, and where in the value. */
export interface InputIssue {
  readonly message: string;
  readonly path: readonly PropertyKey[];
}

/** An argument or option is not what it must be. Nothing was written. */
export class InvalidInputError extends WorkflowError {
  static override readonly errorName: string = 'InvalidInputError';
  readonly code = 'INVALID_INPUT';
  /** What a schema has against a value; empty where no schema was asked. */
  readonly issues: readonly InputIssue[];

  constructor(
    /** The argument or option, as the caller wrote it: `options.delay`. */
    readonly argument: string,
    detail: string,
    options?: { cause?: unknown; issues?: readonly InputIssue[] },
  ) {
    super(`${argument} ${detail}`, options);
    this.issues = options?.issues ?? [];
  }
}

/** No registered workflow has that name or class. */
export class WorkflowNotFoundError extends WorkflowError {
  static override readonly errorName: string = 'WorkflowNotFoundError';
  readonly code = 'WORKFLOW_NOT_FOUND';

  constructor(readonly workflowName: string) {
    super(`"${workflowName}" is not a workflow: decorate the class with @Workflow`);
  }
}

/** A value cannot be stored. `path` says where in it: `input.items[3].price`. */
export class SerializationError extends WorkflowError {
  static override readonly errorName: string = 'SerializationError';
  readonly code = 'SERIALIZATION';

  constructor(
    readonly path: string,
    detail: string,
    options?: { cause?: unknown },
  ) {
    super(`${path} cannot be stored: ${detail}`, options);
  }
}

/**
 * Something stored cannot be read in this process: its class is not registered here, the codec has another key, or there is no codec. What is
 * stored stays as it is.
 */
export class PayloadUnreadableError extends WorkflowError {
  static override readonly errorName: string = 'PayloadUnreadableError';
  readonly code = 'PAYLOAD_UNREADABLE';

  constructor(
    /** What it is: `input`, `output`, `error`. */
    readonly subject: string,
    /** Why. Never quotes what is stored. */
    readonly detail: string,
    options?: { cause?: unknown },
  ) {
    super(`${subject} cannot be read: ${detail}`, options);
  }
}

/** A value is larger than a payload may be. */
export class PayloadTooLargeError extends WorkflowError {
  static override readonly errorName: string = 'PayloadTooLargeError';
  readonly code = 'PAYLOAD_TOO_LARGE';

  constructor(
    /** What it was: `input`, or the step's key. */
    readonly subject: string,
    /** How many it has. Of a value that is far too large, how many it has at least: it is not encoded to its end. */
    readonly bytes: number,
    readonly maxBytes: number,
    count: 'exact' | 'least' = 'exact',
  ) {
    const has = count === 'exact' ? `${bytes}` : `at least ${bytes}`;
    super(`${subject} has ${has} bytes and may have ${maxBytes}. Store it elsewhere and pass a reference`);
  }
}

/** The client was asked to change something from the code of `run`, which is executed many times: it belongs into a step. */
export class ClientInRunError extends WorkflowError {
  static override readonly errorName: string = 'ClientInRunError';
  readonly code = 'CLIENT_IN_RUN';

  constructor(
    readonly method: string,
    readonly runId: string,
  ) {
    super(
      `client.${method}() was called by run() of "${runId}", outside a step: each pass would do it again. Call it in a step; ` +
        'there, currentStep().idempotencyKey is an id that makes a repeated start the same run',
    );
  }
}

/** In development: a pass changed fields of the workflow's instance, which all runs share and which a replay finds changed. */
export class SharedStateError extends WorkflowError {
  static override readonly errorName: string = 'SharedStateError';
  readonly code = 'SHARED_STATE';

  constructor(
    readonly className: string,
    readonly fields: readonly string[],
  ) {
    super(
      `${className} changed ${fields.map((field) => `this.${field}`).join(', ')} while a run was executed. All runs share the instance, and a ` +
        'run is executed again from the top: keep its state in local variables',
    );
  }
}
