import { WorkflowError } from './workflow-error.js';

/**
 * The run's inbox is full: about 10,000 signals and hook payloads, or 64 MiB, are waiting in the
 * inbox. The message that was sent is not stored. Send the message again after the run has received
 * some of the waiting messages. Over HTTP, the response has the status 429.
 *
 * @example
 * try {
 *   await client.signal(runId, approved, { by: 'ann' });
 * } catch (error) {
 *   if (error instanceof InboxFullError) await queue.retryLater({ runId });
 *   else throw error;
 * }
 */
export class InboxFullError extends WorkflowError {
  static override readonly errorName: string = 'InboxFullError';
  readonly code = 'INBOX_FULL';

  /** @param runId id of the run */
  constructor(readonly runId: string) {
    super(`The inbox of run "${runId}" is full. Send the message again after the run has received some of the waiting ones`);
  }
}

/**
 * The token that was chosen for a hook belongs to a hook of another run. Choose a token that is
 * unique for the run, or omit the token to have a random one generated.
 *
 * @example
 * const hook = await ctx.hook<Payment>({ token: `payment-${order.id}` });
 */
export class HookConflictError extends WorkflowError {
  static override readonly errorName: string = 'HookConflictError';
  readonly code = 'HOOK_CONFLICT';

  /**
   * The requested token. The token is not stored with the error, because everybody who knows the
   * token can resume the other run.
   */
  declare readonly token: string;

  constructor(
    token: string,
    /** The run that owns the token. */
    readonly ownerRunId: string,
  ) {
    super(`The hook token is taken by run "${ownerRunId}"`);
    Object.defineProperty(this, 'token', { value: token, enumerable: false, configurable: true });
  }
}

/**
 * No run has a hook with this token: the token is wrong, or the run was deleted. Over HTTP, the
 * response has the status 404. The error does not contain the token, because the token is a secret.
 *
 * @example
 * if (error instanceof HookNotFoundError) return reply.status(404).send('unknown or expired link');
 */
export class HookNotFoundError extends WorkflowError {
  static override readonly errorName: string = 'HookNotFoundError';
  readonly code = 'HOOK_NOT_FOUND';

  constructor() {
    super('No run has a hook with that token');
  }
}

/**
 * No event with this name and id is stored: it was never emitted, or `events.retention` has removed
 * it.
 *
 * @example
 * if (error instanceof EventNotFoundError) await client.emit(orderPaid, payload, { id });
 */
export class EventNotFoundError extends WorkflowError {
  static override readonly errorName: string = 'EventNotFoundError';
  readonly code = 'EVENT_NOT_FOUND';

  constructor(
    /** Name of the event. */
    readonly event: string,
    /** Id of the event. */
    readonly eventId: string,
  ) {
    super(`No event "${event}" with the id "${eventId}" is stored`);
  }
}
