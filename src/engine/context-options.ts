import type { Duration } from '../core/duration.js';
import type { RetryOptions } from '../core/retry-policy.js';
import type { StandardSchema } from '../core/standard-schema.js';

/** How a step is identified and tried. */
export interface StepOptions {
  /** Tells calls of the same name apart: `charge:<key>`. Needed where calls of one name are made in parallel branches that also do I/O. */
  key?: string;
  retry?: RetryOptions;
  /** Limit of one attempt. Default 5 minutes. */
  timeout?: Duration;
}

/** What every wait takes. */
export interface WaitOptions {
  /** Withdraws the wait: it rejects with the signal's reason, and nothing of it is recorded. */
  signal?: AbortSignal;
}

/** How a signal is waited for. */
export interface SignalOptions extends WaitOptions {
  /** How long to wait at most, or until when. */
  timeout?: Duration | Date;
}

/** How a child run is started and waited for. */
export interface InvokeOptions {
  /** The child's id; a new ULID when absent. */
  id?: string;
  /** Tells calls for the same workflow apart: `invoke:order:<key>`. */
  key?: string;
  queue?: string;
  priority?: number;
  tags?: Record<string, string>;
  /** How long to wait at most, or until when. */
  timeout?: Duration | Date;
  /** What becomes of the child when the time is over. Default `'leave'`: it goes on. */
  onTimeout?: 'leave' | 'cancel';
  /** What becomes of the child when the parent is cancelled, or loses interest in it (a race, an AbortSignal). Default `'cancel'`. */
  onCancel?: 'cancel' | 'leave';
  /** Withdraws the wait. */
  signal?: AbortSignal;
}

/** How many child runs are started and waited for. */
export interface InvokeManyOptions extends Omit<InvokeOptions, 'id' | 'key'> {
  /** How many of them may be under way at a time. Default 50. */
  maxInFlight?: number;
}

/** How a run is started that nobody waits for. */
export type StartChildOptions = Pick<InvokeOptions, 'id' | 'key' | 'queue' | 'priority' | 'tags'>;

/** How a hook is made. */
export interface HookOptions<T = unknown> {
  /** What the caller of the hook must know, from 16 characters; 43 unguessable ones when absent. */
  token?: string;
  /**
   * A schema of zod, valibot or another library of https://standardschema.dev for the body. What does not fit is refused where it comes in, if that process
   * knows the hook, else dropped when the workflow comes to it; the workflow gets what the schema makes of the body.
   */
  schema?: StandardSchema<unknown, T>;
  /** Request headers that the workflow wants to see; values are then `{ body, headers }`, with names in lower case. Never the others. */
  headers?: readonly string[];
  /** The name of a `@HookVerifier` that checks each request before it is accepted. */
  verify?: string;
  /** The request header with the sender's id of a delivery: one that is sent again is accepted, and given to the workflow once. */
  idempotencyHeader?: string;
}

/** What a hook was called with, where the workflow asked for headers. */
export interface HookRequest<T> {
  readonly body: T;
  readonly headers: Readonly<Record<string, string>>;
}

/** A way for the outside world to resume a run. Closed when the run ends. */
export interface Hook<T> extends AsyncIterable<T> {
  readonly token: string;
  /** Where to POST to; only the path when the module does not know its public URL. */
  readonly url: string;
  /** The next payload; null when the time is over first. */
  wait(options: { timeout: Duration | Date; signal?: AbortSignal }): Promise<T | null>;
  wait(options?: { signal?: AbortSignal }): Promise<T>;
}

/** The branches of a race, by name. */
export type RaceBranches = Record<string, (signal: AbortSignal) => unknown>;

/** Which branch won, and with what. */
export type RaceResult<B extends RaceBranches> = { [K in keyof B]: { key: K; value: Awaited<ReturnType<B[K]>> } }[keyof B];
