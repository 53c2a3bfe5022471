import type { OwnedRun } from './run.js';
import type { Transition } from './transition.js';

/**
 * Longest stored trace context, in characters. A W3C `traceparent` has 55 characters, and the
 * standard asks systems to carry at least 512 characters of `tracestate`.
 */
export const MAX_TRACE_CONTEXT = 600;

/** Code that is executed inside a span, so that spans of the application nest below the span. */
export interface TraceScope {
  /** Executes code while the span is the active one. */
  within<T, Args extends unknown[]>(code: (...args: Args) => T, ...args: Args): T;
}

/** Span of a call that creates a run or sends a message. */
export interface SendSpan extends TraceScope {
  /**
   * W3C trace context of the span in the stored form: `traceparent`, and after a space `tracestate`
   * if there is one. Null when the span belongs to no trace.
   */
  readonly traceContext: string | null;
  /** Ends the span. An error sets the span's status. */
  end(error?: unknown): void;
}

/** Call that creates a run or sends a message. */
export type SendOperation = 'start' | 'fork' | 'signal' | 'hook' | 'emit';

/** Span of one attempt at a step's body. */
export interface AttemptSpan extends TraceScope {
  succeeded(): void;
  failed(error: unknown): void;
  /** Ends the span of a body whose result nobody waits for any more. */
  aborted(): void;
}

/** Way in which a pass left its process, as the span shows it. */
export type PassOutcomeName =
  | 'completed'
  | 'continued'
  | 'failed'
  | 'cancelled'
  | 'suspended'
  | 'paused'
  | 'handed_back'
  | 'blocked'
  | 'restarted'
  | 'abandoned';

/**
 * Span of one execution of the workflow function (a pass). Steps and children have the same parent
 * as the pass: the span that started the run. That span is exported even if this process is killed.
 */
export interface PassSpan extends TraceScope {
  /** Begins the span of an attempt at a step's body. `name` is the step's name without its key. */
  attempt(name: string, stepKey: string, attempt: number): AttemptSpan;
  /**
   * Records the start of a child or of a continuation as a span. Returns the trace context for the
   * new run, in the stored form.
   */
  starts(run: { readonly id: string; readonly name: string }): string | null;
  /**
   * Adds a link for a wait that has ended: to the sender of the message, or, without a sender, to
   * the start of the run. A span for the wait itself could last for weeks.
   *
   * @param sender trace context of the message, in the stored form
   */
  waited(kind: string, stepKey: string, sender: string | null): void;
  /**
   * Ends the span. Later calls have no effect.
   *
   * @param errorType code of the failure, when the run has failed
   */
  end(outcome: PassOutcomeName, errorType?: string): void;
}

/** A run in a batch, with its trace context in the stored form. */
export interface TracedRun {
  readonly runId: string;
  readonly traceContext: string | null;
}

/**
 * Records what the module does as spans of a tracing system. Only the given `work` throws: an error
 * of the tracing system never reaches the caller, whose run must not depend on its spans.
 */
export interface Tracer {
  /**
   * Begins the span of a call that creates a run or sends a message, below the caller's span.
   *
   * @param runId id of the new run, or of the run that receives the message
   * @param destination name of the workflow or of the signal; undefined when it is not known
   */
  send(operation: SendOperation, runId: string | undefined, destination?: string): SendSpan;
  /** Begins the span of a pass, below the span that started the run. */
  pass(run: OwnedRun): PassSpan;
  /**
   * Records a claim that has returned runs.
   *
   * @param since time of the claim, in milliseconds since the epoch by this process's clock
   */
  claimed(runs: readonly OwnedRun[], since: number): void;
  /**
   * Records a flush of the journal.
   *
   * @param since time of the flush, in milliseconds since the epoch by this process's clock
   */
  flushed(entries: readonly { readonly transition: Transition }[], since: number, error?: unknown): void;
  /** Executes the publication of a batch of wake-ups inside a span. */
  publish<T>(system: string, runs: readonly TracedRun[], work: () => Promise<T>): Promise<T>;
  /**
   * Executes a run that a push transport has delivered inside a span.
   *
   * @param headers headers of the delivery, which may carry the trace context
   */
  deliver<T>(
    system: string,
    run: { readonly runId: string; readonly queue: string },
    headers: Readonly<Record<string, unknown>>,
    work: () => Promise<T>,
  ): Promise<T>;
  /** Converts a stored trace context to HTTP headers. Undefined when the context is not usable. */
  headersOf(traceContext: string | null): Readonly<Record<string, string>> | undefined;
}

/**
 * Tracer of this process; undefined while tracing is off. Tracing is a matter of the process, as
 * the SDK is. So that tracing costs nothing while it is off, callers check this variable first.
 */
export let tracer: Tracer | undefined;

/** Turns tracing on, or off with `undefined`. */
export function useTracer(next: Tracer | undefined): void {
  tracer = next;
}

/**
 * Executes work in the span of a send. The span ends when the work ends.
 *
 * @param work gets the trace context to store
 */
export function sendWithin<T>(span: SendSpan, work: (traceContext: string | null) => Promise<T>): Promise<T> {
  return span.within(work, span.traceContext).then(
    (result) => {
      span.end();
      return result;
    },
    (error: unknown) => {
      span.end(error);
      throw error;
    },
  );
}
