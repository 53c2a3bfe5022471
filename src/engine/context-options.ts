import type { Duration } from '../core/duration.js';
import type { RetryOptions } from '../core/retry-policy.js';
import type { StandardSchema } from '../core/standard-schema.js';

/** Options of a step. */
export interface StepOptions {
  /**
   * Distinguishes calls with the same name: the step key becomes `charge:<key>`. Needed where
   * parallel branches call the same step and also do ordinary I/O. Otherwise the order in which the
   * I/O ends would decide which call gets which recorded result.
   */
  key?: string;
  retry?: RetryOptions;
  /**
   * Time limit of one attempt. Default: the limit that the workflow or the module sets, otherwise 5
   * minutes.
   */
  timeout?: Duration;
}

/** Options that every wait accepts. */
export interface WaitOptions {
  /**
   * AbortSignal that withdraws the wait. When the signal is aborted, the wait rejects with the
   * signal's reason and is not recorded.
   */
  signal?: AbortSignal;
}

/** Options of `ctx.waitForSignal`. */
export interface SignalOptions extends WaitOptions {
  /** Longest time to wait, or the moment at which the wait ends. Default: no limit. */
  timeout?: Duration | Date;
}

/** Options of `ctx.invoke`. */
export interface InvokeOptions {
  /** Id of the child. Default: a generated id. */
  id?: string;
  /** Distinguishes calls of the same workflow: the step key becomes `invoke:order:<key>`. */
  key?: string;
  queue?: string;
  priority?: number;
  tags?: Record<string, string>;
  /** Longest time to wait, or the moment at which the wait ends. Default: no limit. */
  timeout?: Duration | Date;
  /**
   * Decides if the child is cancelled when the timeout has passed. Default: `'leave'`, so the child
   * continues.
   */
  onTimeout?: 'leave' | 'cancel';
  /**
   * Decides if the child is cancelled when the parent is cancelled, or when a race or an
   * AbortSignal withdraws the wait. Default: `'cancel'`.
   */
  onCancel?: 'cancel' | 'leave';
  /** AbortSignal whose abort withdraws the wait. */
  signal?: AbortSignal;
}

/** Options of `ctx.invokeMany`. */
export interface InvokeManyOptions extends Omit<InvokeOptions, 'id' | 'key'> {
  /** Largest number of children that run at the same time. Default: 50. */
  maxInFlight?: number;
}

/** Options of `ctx.start`, which starts a run without waiting for it. */
export type StartChildOptions = Pick<InvokeOptions, 'id' | 'key' | 'queue' | 'priority' | 'tags'>;

/** Options of `ctx.hook`. */
export interface HookOptions<T = unknown> {
  /**
   * Token that the caller of the hook must know: at least 16 characters. Default: 43 characters
   * that cannot be guessed.
   */
  token?: string;
  /**
   * Schema for the body, from zod, valibot or another library that follows
   * https://standardschema.dev. A process that has executed this `ctx.hook` call refuses requests
   * whose body does not match. Other processes accept such a body, which is dropped before the
   * workflow takes it. The workflow gets the schema's output.
   */
  schema?: StandardSchema<unknown, T>;
  /**
   * Names of the request headers that the workflow needs. Payloads are then `{ body, headers }`,
   * with header names in lower case. Other headers are never stored.
   */
  headers?: readonly string[];
  /** Name of a `@HookVerifier` that checks each request before it is accepted. */
  verify?: string;
  /**
   * Name of the request header in which the sender puts the id of a delivery. A repeated delivery
   * with the same id is accepted, but reaches the workflow only once.
   */
  idempotencyHeader?: string;
}

/** Payload of a hook whose options name request headers. */
export interface HookRequest<T> {
  readonly body: T;
  readonly headers: Readonly<Record<string, string>>;
}

/** Entry point through which the outside world resumes a run. Closed when the run ends. */
export interface Hook<T> extends AsyncIterable<T> {
  readonly token: string;
  /** URL for POST requests; only the path when the module does not know its public URL. */
  readonly url: string;
  /** Waits for the next payload. Returns null when the timeout has passed. */
  wait(options: { timeout: Duration | Date; signal?: AbortSignal }): Promise<T | null>;
  wait(options?: { signal?: AbortSignal }): Promise<T>;
}

/** Functions that a race executes in parallel, by branch name. */
export type RaceBranches = Record<string, (signal: AbortSignal) => unknown>;

/** Name of the branch that won a race, and the value that the branch returned. */
export type RaceResult<B extends RaceBranches> = { [K in keyof B]: { key: K; value: Awaited<ReturnType<B[K]>> } }[keyof B];
