import type { Duration } from '../core/duration.js';
import type { RetryOptions } from '../core/retry-policy.js';
import type { StandardSchema } from '../core/standard-schema.js';

/** Options of a step. */
export interface StepOptions {
  /**
   * Distinguishes calls of the same name: the step key becomes `charge:<key>`. Needed where
   * parallel branches call the same step and also do ordinary I/O.
   */
  key?: string;
  retry?: RetryOptions;
  /** Time limit of one attempt. Default: 5 minutes, or what the workflow or the module sets. */
  timeout?: Duration;
}

/** Options that every wait accepts. */
export interface WaitOptions {
  /**
   * Withdraws the wait when it is aborted. The wait rejects with the reason of the signal, and
   * nothing of the wait is recorded.
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
  /** Distinguishes calls for the same workflow: the step key becomes `invoke:order:<key>`. */
  key?: string;
  queue?: string;
  priority?: number;
  tags?: Record<string, string>;
  /** Longest time to wait, or the moment at which the wait ends. Default: no limit. */
  timeout?: Duration | Date;
  /** Fate of the child when the timeout has passed. Default: `'leave'`, so the child continues. */
  onTimeout?: 'leave' | 'cancel';
  /**
   * Fate of the child when the parent is cancelled or withdraws the wait, as a race or an
   * AbortSignal does. Default: `'cancel'`.
   */
  onCancel?: 'cancel' | 'leave';
  /** Withdraws the wait when it is aborted. */
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
   * Schema for the body, of zod, valibot or another library of https://standardschema.dev. A
   * process that knows the hook refuses a body that does not match. Otherwise the body is dropped
   * when the workflow takes it. The workflow gets the output of the schema.
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
   * Request header that carries the sender's id of a delivery. A delivery that is repeated is
   * accepted, and reaches the workflow once.
   */
  idempotencyHeader?: string;
}

/** Request to a hook whose options name headers. */
export interface HookRequest<T> {
  readonly body: T;
  readonly headers: Readonly<Record<string, string>>;
}

/** Entry point through which the outside world resumes a run. Closed when the run ends. */
export interface Hook<T> extends AsyncIterable<T> {
  readonly token: string;
  /** URL for POST requests. Only the path when the module does not know its public URL. */
  readonly url: string;
  /** Waits for the next payload. Returns null when the timeout has passed. */
  wait(options: { timeout: Duration | Date; signal?: AbortSignal }): Promise<T | null>;
  wait(options?: { signal?: AbortSignal }): Promise<T>;
}

/** Branches of a race, by name. */
export type RaceBranches = Record<string, (signal: AbortSignal) => unknown>;

/** Name of the branch that won, and its value. */
export type RaceResult<B extends RaceBranches> = { [K in keyof B]: { key: K; value: Awaited<ReturnType<B[K]>> } }[keyof B];
