import { types } from 'node:util';

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
    transaction: CallerTransaction | undefined,
    createdInTurn?: number,
  ) {
    this.#client = client;
    this.#hub = hub;
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
  async result(options: { timeout?: Duration | Date } & FollowOptions = {}): Promise<O> {
    const { timeout, follow } = checkOptions(options, 'options', ['timeout', 'follow']);
    const following = checkFollowing(follow) ? 'chain' : 'none';
    const timeoutMs = timeout === undefined ? undefined : resultDeadline(timeout, 'options.timeout', this.#hub.now());
    this.assertCommitted();
    const query = this.#createdInTurn === this.#hub.turn ? 'later' : 'now';
    return this.outcome(await this.#hub.wait(this.runId, timeoutMs, query, following));
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
