import type { ReadableStream } from 'node:stream/web';
import { types } from 'node:util';

import type { Observable } from 'rxjs';

import { toMilliseconds, toTimestamp, type Duration } from '../core/duration.js';
import { checkOptions } from '../core/check-options.js';
import {
  RunNotCommittedError,
  RunNotFoundError,
  WorkflowCancelledError,
  WorkflowFailedError,
  WorkflowTerminatedError,
} from '../core/errors/index.js';
import type { RunStatus, ShownStatus } from '../core/run.js';
import type { SignalArguments, SignalDefinition } from '../core/signal.js';
import type { RunEnd } from '../store/sql/read-runs.js';
import type { CancelOptions } from './control/control-options.js';
import type { CallerTransaction } from './transactions/caller-transaction.js';
import type { RunDescription, StepDescription } from './queries/describe.js';
import { checkFollowing, type FollowOptions } from './follow-options.js';
import type { HistoryOptions, HistoryPage } from './queries/history.js';
import type { ResultHub } from './result-hub.js';
import type { StepsOptions } from './queries/steps.js';
import type { StreamMessage } from './streams/stream-message.js';
import { placeOfEventId } from './streams/stream-messages.js';
import type { StreamEvent } from './streams/stream-event.js';
import { checkStreamName, checkStreamOptions, type StreamOptions } from './streams/stream-options.js';
import { StreamReader } from './streams/stream-reader.js';
import type { StreamHub } from './streams/stream-hub.js';
import { readableOf, StreamValues } from './streams/stream-values.js';
import type { SendOptions } from './send-options.js';

/** Methods of the client that a handle calls with its run's id. */
interface RunAccess {
  status(runId: string, options?: FollowOptions): Promise<ShownStatus>;
  describe(runId: string, options?: FollowOptions): Promise<RunDescription>;
  steps(runId: string, options?: StepsOptions): Promise<StepDescription[]>;
  cancel(runId: string, options?: CancelOptions): Promise<void>;
  history(runId: string, options?: HistoryOptions): Promise<HistoryPage>;
  signal<P, Sent>(runId: string, signal: SignalDefinition<P, Sent>, ...args: SignalArguments<Sent, SendOptions>): Promise<void>;
}

/** A handle to one run: waits for its result, queries it and controls it. */
export class WorkflowHandle<O = unknown> {
  // `#` keeps these fields out of logs and JSON. A handle that is logged by mistake shows only its
  // id and `created`.
  readonly #client: RunAccess;
  readonly #hub: ResultHub;
  readonly #streams: StreamHub;
  readonly #transaction: CallerTransaction | undefined;
  /**
   * Number of the event loop's turn in which this process created the run. Undefined when the run
   * may have existed before.
   */
  readonly #createdInTurn: number | undefined;

  /** @internal */
  constructor(
    /** Id of the run. */
    readonly runId: string,
    /**
     * True when the call that returned this handle created the run. False when the run already
     * existed.
     */
    readonly created: boolean,
    client: RunAccess,
    hub: ResultHub,
    streams: StreamHub,
    transaction: CallerTransaction | undefined,
    createdInTurn?: number,
  ) {
    this.#client = client;
    this.#hub = hub;
    this.#streams = streams;
    this.#transaction = transaction;
    this.#createdInTurn = createdInTurn;
  }

  /**
   * Waits until the run has ended, and returns the workflow's result.
   *
   * @param options.timeout longest time to wait: milliseconds, a duration such as `'5m'`, or the
   *   Date at which the wait ends (default: no limit)
   * @param options.follow `false` waits for the run with exactly this id. The result is `undefined`
   *   when another run continues this run (default: `true`)
   * @throws WorkflowFailedError whose `cause` is the error that the workflow threw
   * @throws WorkflowCancelledError, WorkflowTerminatedError, ResultTimeoutError, RunNotFoundError
   * @throws PayloadUnreadableError when this process cannot decode the result
   * @throws RunNotCommittedError while the transaction that started the run is open
   * @throws InvalidInputError when an option is invalid
   * @example
   * const receipt = await handle.result({ timeout: '5m' });
   */
  result(options: { timeout?: Duration | Date } & FollowOptions = {}): Promise<O> {
    try {
      const { timeout, follow } = checkOptions(options, 'options', ['timeout', 'follow']);
      const following = checkFollowing(follow) ? 'chain' : 'none';
      const timeoutMs = timeout === undefined ? undefined : resultDeadline(timeout, 'options.timeout', this.#hub.now());
      this.assertCommitted();
      const query = this.#createdInTurn === this.#hub.turn ? 'later' : 'now';
      return this.#hub.wait(this.runId, timeoutMs, query, following).then((end) => this.outcome(end));
    } catch (error) {
      return Promise.reject(error);
    }
  }

  /**
   * Returns the status of the run, or of the run that continues it. See `WorkflowClient.status`.
   *
   * @throws RunNotFoundError
   * @throws RunNotCommittedError while the transaction that started the run is open
   */
  status(options?: { follow?: true }): Promise<RunStatus>;
  status(options: FollowOptions): Promise<ShownStatus>;
  async status(options?: FollowOptions): Promise<ShownStatus> {
    this.assertCommitted();
    return this.#client.status(this.runId, options);
  }

  /**
   * Returns all details, except the steps, of the run or of the run that continues it. See
   * `WorkflowClient.describe`.
   *
   * @throws RunNotFoundError
   * @throws RunNotCommittedError while the transaction that started the run is open
   */
  async describe(options?: FollowOptions): Promise<RunDescription<O>> {
    this.assertCommitted();
    return (await this.#client.describe(this.runId, options)) as RunDescription<O>;
  }

  /**
   * Returns the recorded steps in the order in which their results were recorded. See
   * `WorkflowClient.steps`.
   *
   * @throws RunNotFoundError
   * @throws RunNotCommittedError while the transaction that started the run is open
   */
  async steps(options?: StepsOptions): Promise<StepDescription[]> {
    this.assertCommitted();
    return this.#client.steps(this.runId, options);
  }

  /**
   * Returns a page of the run's history, oldest entries first. See `WorkflowClient.history`.
   *
   * @throws InvalidInputError, RunNotFoundError
   * @throws RunNotCommittedError while the transaction that started the run is open
   */
  async history(options?: HistoryOptions): Promise<HistoryPage> {
    this.assertCommitted();
    return this.#client.history(this.runId, options);
  }

  /**
   * Asks the run to stop. See `WorkflowClient.cancel`.
   *
   * @throws RunNotFoundError
   * @throws RunNotCommittedError while the transaction that started the run is open, unless this
   *   call joins it
   */
  async cancel(options?: CancelOptions): Promise<void> {
    try {
      await this.#client.cancel(this.runId, options);
    } catch (error) {
      if (error instanceof RunNotFoundError) this.assertCommitted();
      throw error;
    }
  }

  private assertCommitted(): void {
    if (this.#transaction?.holds(this.runId)) throw new RunNotCommittedError(this.runId);
  }

  /** Sends a signal to the run. See `WorkflowClient.signal`. */
  signal<P, Sent>(signal: SignalDefinition<P, Sent>, ...args: SignalArguments<Sent, SendOptions>): Promise<void> {
    return this.#client.signal(this.runId, signal, ...args);
  }

  /**
   * Reads a stream of exactly this run: the chunks that are stored, and then each further chunk as
   * the run writes it. Ends when the stream was closed or the run has ended. Chunks of an attempt
   * that was replaced by another are left out. Nothing is kept after the loop was left.
   *
   * @param name name of the stream (default: `'default'`)
   * @param options.from place of the first chunk, from 0; a negative number counts from the end
   *   (default: 0)
   * @param options.form `'values'` iterates over the values, and throws the error of `result()`
   *   when the run has failed or was cancelled. `'events'` iterates over chunks with their places,
   *   resets and the end (default: `'values'`)
   * @throws InvalidInputError, RunNotFoundError
   * @throws RunNotCommittedError while the transaction that started the run is open
   * @throws PayloadUnreadableError when this process cannot decode a chunk
   * @example
   * for await (const token of handle.stream<string>('answer')) process.stdout.write(token);
   */
  stream<T = unknown>(name?: string, options?: StreamOptions & { form?: 'values' }): AsyncIterable<T>;
  stream<T = unknown>(name: string | undefined, options: StreamOptions & { form: 'events' }): AsyncIterable<StreamEvent<T>>;
  stream(name?: string, options: StreamOptions & { form?: 'values' | 'events' } = {}): AsyncIterable<unknown> {
    const stream = checkStreamName(name);
    const { from, form } = checkStreamOptions(options);
    return {
      [Symbol.asyncIterator]: () => (form === 'events' ? this.reader(stream, from) : this.values(stream, from)),
    };
  }

  /**
   * Reads a stream as a web `ReadableStream` of values. Cancelling the stream frees everything. See
   * `stream`.
   *
   * @throws InvalidInputError when an argument is invalid
   * @example
   * const bytes = handle.readable<string>('answer').pipeThrough(new TextEncoderStream());
   * return new Response(bytes);
   */
  readable<T = unknown>(name?: string, options: StreamOptions = {}): ReadableStream<T> {
    const stream = checkStreamName(name);
    const { from } = checkStreamOptions(options);
    return readableOf(this.values<T>(stream, from));
  }

  /**
   * Reads a stream as server-sent events, for a method with Nest's `@Sse`. The data of a message is
   * the chunk as JSON text, and its id is the place of the chunk. A message of the type `reset`
   * says from which place on the former messages no longer count. A message of the type `end` comes
   * last; the page must then close its EventSource, or the browser connects again. A message of the
   * type `error` says that the stream could not be read further. When the application closes, the
   * messages end without one of these, and the browser connects again. Unsubscribing frees
   * everything.
   *
   * @param options.lastEventId header `Last-Event-ID` of a browser that connects again, with which
   *   the messages continue (default: from the first chunk)
   * @throws InvalidInputError when an argument is invalid
   * @example
   * @Sse('answers/:id')
   * answer(@Param('id') id: string, @Headers('last-event-id') lastEventId?: string) {
   *   return this.client.getHandle(Ask, id).sse('answer', { lastEventId });
   * }
   */
  sse(name?: string, options: { lastEventId?: string | undefined } = {}): Observable<StreamMessage> {
    const stream = checkStreamName(name);
    const { lastEventId } = checkOptions(options, 'options', ['lastEventId']);
    const { from } = placeOfEventId(lastEventId, 'options.lastEventId');
    return this.#streams.messagesOf(() => this.reader(stream, from));
  }

  private reader<T>(stream: string, from: number): StreamReader<T> {
    this.assertCommitted();
    return new StreamReader<T>({ hub: this.#streams, payloads: this.#hub.payloads, runId: this.runId, stream, from });
  }

  private values<T>(stream: string, from: number): StreamValues<T> {
    return new StreamValues<T>(this.reader<T>(stream, from), () => this.result({ follow: false }));
  }

  private outcome(end: RunEnd): O {
    const { payloads } = this.#hub;
    if (end.continuedAs !== null) return undefined as O;
    if (end.status === 'completed') return payloads.decode(end.output ?? 'null', 'output') as O;
    const error = payloads.showError(end.error ?? '{}');
    if (end.status !== 'cancelled') throw new WorkflowFailedError(this.runId, error);
    throw error instanceof WorkflowCancelledError || error instanceof WorkflowTerminatedError
      ? error
      : new WorkflowCancelledError(this.runId);
  }
}

/**
 * Converts the timeout of a wait to milliseconds from now.
 *
 * @throws InvalidInputError when the timeout is invalid
 * @internal
 */
export function resultDeadline(timeout: Duration | Date, argument: string, now: number): number {
  if (!types.isDate(timeout)) return toMilliseconds(timeout, argument);
  return Math.max(0, toTimestamp(timeout, argument) - now);
}
