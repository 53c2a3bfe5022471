import { WorkflowError } from './workflow-error.js';

/** A problem that a schema found in a value: a message, and the path to the place in the value. */
export interface InputIssue {
  /** Description of the problem. */
  readonly message: string;
  /** Path to the place in the value. Empty when the problem concerns the whole value. */
  readonly path: readonly PropertyKey[];
}

/**
 * An argument or an option is not valid. Nothing was written. `argument` names the argument or the
 * option, and the message says which values are accepted.
 *
 * @example
 * if (error instanceof InvalidInputError) throw new BadRequestException(error.issues);
 */
export class InvalidInputError extends WorkflowError {
  static override readonly errorName: string = 'InvalidInputError';
  readonly code = 'INVALID_INPUT';
  /** Problems that the schema found in the value; empty when no schema checked the value. */
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

/**
 * The class that was passed is not a workflow: it has no `@Workflow` decorator. Decorate the class,
 * or pass a `workflowRef` or a name.
 *
 * @example
 * @Workflow({ name: 'order' })
 * export class OrderWorkflow {}
 */
export class WorkflowNotFoundError extends WorkflowError {
  static override readonly errorName: string = 'WorkflowNotFoundError';
  readonly code = 'WORKFLOW_NOT_FOUND';

  /** @param workflowName name of the class that was passed */
  constructor(readonly workflowName: string) {
    super(`"${workflowName}" is not a workflow: decorate the class with @Workflow`);
  }
}

/**
 * A value cannot be stored, because a part of it is, for example, a function, a promise or a cycle.
 * `path` is the path to that part of the value: `input.items[3].price`. Pass plain data there, or
 * register the class with `serializer.register`.
 *
 * @example
 * if (error instanceof SerializationError) logger.error(`cannot be stored: ${error.path}`);
 */
export class SerializationError extends WorkflowError {
  static override readonly errorName: string = 'SerializationError';
  readonly code = 'SERIALIZATION';

  constructor(
    /** Path to the part that cannot be stored. */
    readonly path: string,
    detail: string,
    options?: { cause?: unknown },
  ) {
    super(`${path} cannot be stored: ${detail}`, options);
  }
}

/**
 * A stored payload cannot be read in this process. Either a class in the payload is not registered
 * here, or the codec has another key, or the process has no codec. The stored payload is not
 * changed. Register the class, or configure the codec, in every process that reads the payload.
 *
 * @example
 * serializer.register(Money, {
 *   name: 'Money',
 *   serialize: ({ cents }) => cents,
 *   deserialize: (cents: number) => new Money(cents),
 * });
 */
export class PayloadUnreadableError extends WorkflowError {
  static override readonly errorName: string = 'PayloadUnreadableError';
  readonly code = 'PAYLOAD_UNREADABLE';

  constructor(
    /** Name of the payload, such as `input`, `output` or `error`. */
    readonly subject: string,
    /** The reason. Never quotes the stored payload. */
    readonly detail: string,
    options?: { cause?: unknown },
  ) {
    super(`${subject} cannot be read: ${detail}`, options);
  }
}

/**
 * A value is larger than the limit of a payload. Store the value elsewhere, in a table or an object
 * store, and pass a reference.
 *
 * @example
 * await client.start(ImportWorkflow, { fileKey: await bucket.upload(rows) });
 */
export class PayloadTooLargeError extends WorkflowError {
  static override readonly errorName: string = 'PayloadTooLargeError';
  readonly code = 'PAYLOAD_TOO_LARGE';

  constructor(
    /** Name of the value, such as `input` or `output of step "charge"`. */
    readonly subject: string,
    /**
     * Size of the value in bytes. For a value far beyond the limit, the number is a lower bound,
     * because the encoding stops early.
     */
    readonly bytes: number,
    /** The limit, in bytes. */
    readonly maxBytes: number,
    count: 'exact' | 'least' = 'exact',
  ) {
    const has = count === 'exact' ? `${bytes}` : `at least ${bytes}`;
    super(`${subject} has ${has} bytes, and the limit is ${maxBytes}. Store it elsewhere and pass a reference`);
  }
}

/**
 * A client method that changes something was called in `run()` outside of a step. Every replay
 * executes `run()` again and would repeat the call. Make the call in a step.
 *
 * @example
 * const { runId } = await ctx.step('start the audit', () =>
 *   this.client.start(AuditWorkflow, order, { id: currentStep().idempotencyKey }),
 * );
 */
export class ClientInRunError extends WorkflowError {
  static override readonly errorName: string = 'ClientInRunError';
  readonly code = 'CLIENT_IN_RUN';

  constructor(
    /** Name of the client method. */
    readonly method: string,
    /** Id of the run. */
    readonly runId: string,
  ) {
    super(
      `client.${method}() was called by run() of "${runId}" outside a step, so every replay would repeat the call. Call it in a step. ` +
        'For a start, use currentStep().idempotencyKey as the id: a repeated step then finds the run that it has started',
    );
  }
}

/**
 * `run()` changed fields of the workflow's instance (`this`). All runs share the instance, so a
 * replay would start with the changed fields. The fields are checked in development only. Keep the
 * state of a run in local variables.
 *
 * @example
 * async run(order: Order, ctx: WorkflowContext) {
 *   let total = 0; // Not this.total.
 *   for (const item of order.items) total += await ctx.step('price', () => this.prices.of(item));
 *   return total;
 * }
 */
export class SharedStateError extends WorkflowError {
  static override readonly errorName: string = 'SharedStateError';
  readonly code = 'SHARED_STATE';

  constructor(
    /** Name of the workflow's class. */
    readonly className: string,
    /** Names of the changed fields. */
    readonly fields: readonly string[],
  ) {
    super(
      `${className} changed ${fields.map((field) => `this.${field}`).join(', ')} while a run was executed. All runs share the instance, and ` +
        'every replay executes run() from the top: keep the state of a run in local variables',
    );
  }
}
