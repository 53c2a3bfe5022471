import type { Duration } from '../core/duration.js';
import type { EventCondition } from '../core/event.js';
import type { RetryOptions } from '../core/retry-policy.js';
import type { StandardSchema } from '../core/standard-schema.js';
import type { TransactionalOptions } from '../core/transactional.js';

/** Options of a step. */
export interface StepOptions {
  /**
   * Distinguishes calls with the same name: the step key becomes `charge:<key>`. Needed where
   * parallel branches call the same step and also do ordinary I/O. Otherwise the order in which the
   * I/O ends would decide which call gets which recorded result. (default: calls are numbered, as
   * in `charge#2`)
   */
  key?: string;
  /**
   * Retry policy of the step. Values that are absent come from the workflow's `retry`, or else from
   * the module's `defaults.retry`. (default: the workflow's `retry`)
   */
  retry?: RetryOptions;
  /**
   * Time limit of one attempt: milliseconds, or a duration such as `'5m'`. With `transport:
   * 'qstash'`, the limit is at most `qstash.deliveryTimeout` minus 3 s. (default: the module's
   * `defaults.stepTimeout`)
   */
  timeout?: Duration;
  /**
   * Name of a limit in the module's option `limits`. Each attempt waits until the limit has a place
   * and a slot for it. Meanwhile the run stays in memory, without a slot of the worker. (default:
   * no limit)
   */
  limit?: string;
  /**
   * Executes the body in a transaction on the application's DataSource, whose manager
   * `currentManager()` returns. The writes of the body and the record of its result are one commit.
   * `{ isolation }` chooses the isolation level. See docs/transactions.md. (default: no
   * transaction)
   */
  transactional?: true | TransactionalOptions;
}

/** Compensation of a step, in the options of `ctx.step`. */
export type CompensateOptions<T> =
  | { compensate?: undefined; compensateOn?: undefined }
  | {
      /**
       * Undoes the step. Called with the output of the step when the run fails, is cancelled or
       * times out, or when the `ctx.saga` around the step fails. The call is a recorded step of its
       * own, with the retry policy and the timeout of the step. (default: nothing undoes the step)
       */
      compensate: (output: T) => unknown;
      /**
       * Steps that are undone. `'completed'`: only a step that has an output. `'attempted'`: also a
       * step that failed, timed out or was interrupted; its output is undefined, and
       * `currentStep().compensates` has its idempotency key. Required with `timeout`. (default:
       * `'completed'`)
       */
      compensateOn?: 'completed';
    }
  | { compensate: (output: T | undefined) => unknown; compensateOn: 'attempted' };

/** Options that every wait accepts. */
export interface WaitOptions {
  /**
   * AbortSignal that withdraws the wait. When the signal is aborted, the wait rejects with the
   * signal's reason and is not recorded. (default: none)
   */
  signal?: AbortSignal;
}

/** Options of `ctx.waitForSignal`. */
export interface SignalOptions extends WaitOptions {
  /**
   * Longest time to wait: milliseconds, a duration such as `'5m'`, or the Date at which the wait
   * ends. (default: no limit)
   */
  timeout?: Duration | Date;
}

/** Options of `ctx.waitForEvent`. */
export interface EventWaitOptions<P> extends WaitOptions {
  /** Key of the event. (default: events of every key) */
  key?: string;
  /**
   * Top-level fields that the payload must have: texts, numbers, booleans or null, which are stored
   * as plain text even with a codec. (default: every payload)
   */
  where?: EventCondition<P>;
  /**
   * Time from which events count. `'run-start'`: from the creation of the run. `'now'`: from the
   * moment at which the wait is stored. A Date: from that moment. Milliseconds or a duration such
   * as `'5m'`: from that time before the call. Only events that are still kept are found (see
   * `events.retention`). (default: `'run-start'`)
   */
  since?: 'run-start' | 'now' | Date | Duration;
  /**
   * Longest time to wait: milliseconds, a duration such as `'5m'`, or the Date at which the wait
   * ends. (default: no limit)
   */
  timeout?: Duration | Date;
}

/** Options of `ctx.emit`. */
export interface EmitOptions {
  /**
   * Id of the event, at most 255 characters. An event with this name and id that was emitted before
   * is not emitted again. (default: an id made of the run's id and the step key)
   */
  id?: string;
}

/** Options of `ctx.invoke`. */
export interface InvokeOptions {
  /** Id of the child. (default: a generated id) */
  id?: string;
  /**
   * Distinguishes calls of the same workflow: the step key becomes `invoke:order:<key>`. (default:
   * calls are numbered, as in `invoke:order#2`)
   */
  key?: string;
  /**
   * Queue of the child. (default: the workflow's queue; for a workflow given by name, `'default'`)
   */
  queue?: string;
  /**
   * Key of the child within its queue. (default: the result of the workflow's `queueKey`; without
   * one, no key)
   */
  queueKey?: string;
  /**
   * Priority of the child, from -32,768 to 32,767. Due runs with a higher priority are claimed
   * first. (default: 0)
   */
  priority?: number;
  /** Up to 50 tags of the child, each a key with a text. (default: none) */
  tags?: Record<string, string>;
  /**
   * Longest time to wait for the result: milliseconds, a duration such as `'5m'`, or the Date at
   * which the wait ends. (default: no limit)
   */
  timeout?: Duration | Date;
  /**
   * Decides if the child is cancelled when the timeout has passed. With `'leave'`, the child
   * continues. (default: `'leave'`)
   */
  onTimeout?: 'leave' | 'cancel';
  /**
   * Decides if the child is cancelled when the parent is cancelled, or when a race or an
   * AbortSignal withdraws the wait. (default: `'cancel'`)
   */
  onCancel?: 'cancel' | 'leave';
  /** AbortSignal whose abort withdraws the wait. (default: none) */
  signal?: AbortSignal;
}

/** Compensation of a child run, in the options of `ctx.invoke`. */
export interface ChildCompensation<Output> {
  /**
   * Undoes a completed child. Called with the output of the child when the run fails, is cancelled
   * or times out, or when the `ctx.saga` around the call fails. A child that still runs is
   * cancelled first, unless `onCancel` is `'leave'`, and undoes its own steps. (default: nothing
   * undoes the child)
   */
  compensate?: (output: Output) => unknown;
}

/** Options of `ctx.invokeMany`. */
export interface InvokeManyOptions extends Omit<InvokeOptions, 'id' | 'key'> {
  /** Largest number of children that run at the same time, at least 1. (default: 50) */
  maxInFlight?: number;
}

/** Options of `ctx.start`, which starts a run without waiting for it. */
export type StartChildOptions = Pick<InvokeOptions, 'id' | 'key' | 'queue' | 'queueKey' | 'priority' | 'tags'>;

/** Options of `ctx.hook`. */
export interface HookOptions<T = unknown> {
  /**
   * Token that the caller of the hook must know, from 16 to 255 characters. (default: 43 characters
   * that cannot be guessed)
   */
  token?: string;
  /**
   * Schema for the body, from zod, valibot or another library that follows
   * https://standardschema.dev. A process that has executed this `ctx.hook` call refuses requests
   * whose body does not match. Other processes accept such a body, which is dropped before the
   * workflow takes it. The workflow gets the schema's output. (default: no check)
   */
  schema?: StandardSchema<unknown, T>;
  /**
   * Names of the request headers that the workflow needs. Payloads are then `{ body, headers }`,
   * with header names in lower case. Other headers are never stored. (default: none; the payload is
   * the body)
   */
  headers?: readonly string[];
  /**
   * Name of a `@HookVerifier` that checks each request before it is accepted. (default: none; the
   * token alone admits a request)
   */
  verify?: string;
  /**
   * Name of the request header in which the sender puts the id of a delivery. A repeated delivery
   * with the same id is accepted, but reaches the workflow only once. (default: none; each delivery
   * reaches the workflow)
   */
  idempotencyHeader?: string;
}

/** Payload of a hook whose options name request headers. */
export interface HookRequest<T> {
  /** Body of the request, or the schema's output for it. */
  readonly body: T;
  /** Request headers that the hook's options name, with names in lower case. */
  readonly headers: Readonly<Record<string, string>>;
}

/** Entry point through which the outside world resumes a run. Closed when the run ends. */
export interface Hook<T> extends AsyncIterable<T> {
  /** Token of the hook. Anyone who knows it can resume the run. */
  readonly token: string;
  /** URL for POST requests; only the path when the module does not know its public URL. */
  readonly url: string;
  /**
   * Waits for the next payload. Returns null when the timeout has passed.
   *
   * @param options.timeout longest time to wait: milliseconds, a duration such as `'5m'`, or the
   *   Date at which the wait ends (default: no limit)
   * @param options.signal AbortSignal whose abort withdraws the wait (default: none)
   */
  wait(options: { timeout: Duration | Date; signal?: AbortSignal }): Promise<T | null>;
  wait(options?: { signal?: AbortSignal }): Promise<T>;
}

/** Functions that a race executes in parallel, by branch name. */
export type RaceBranches = Record<string, (signal: AbortSignal) => unknown>;

/** Name of the branch that won a race, and the value that the branch returned. */
export type RaceResult<B extends RaceBranches> = { [K in keyof B]: { key: K; value: Awaited<ReturnType<B[K]>> } }[keyof B];
