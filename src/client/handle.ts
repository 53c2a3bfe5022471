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
import type { CancelOptions } from './control/control.js';
import type { CallerTransaction } from './transactions/caller-transaction.js';
import type { RunDescription, StepDescription } from './queries/describe.js';
import { checkFollowing, type FollowOptions } from './follow.js';
import type { HistoryOptions, HistoryPage } from './queries/history.js';
import type { ResultHub } from './result-hub.js';
import type { StepsOptions } from './queries/steps.js';
import type { SendOptions } from './sender.js';

/** What a handle asks for by the run's id. */
interface RunAccess {
  status(runId: string, options?: FollowOptions): Promise<ShownStatus>;
  describe(runId: string, options?: FollowOptions): Promise<RunDescription>;
  steps(runId: string, options?: StepsOptions): Promise<StepDescription[]>;
  cancel(runId: string, options?: CancelOptions): Promise<void>;
  history(runId: string, options?: HistoryOptions): Promise<HistoryPage>;
  signal<P, Sent>(runId: string, signal: SignalDefinition<P, Sent>, ...args: SignalArguments<Sent, SendOptions>): Promise<void>;
}

/** One run, seen from outside. */
export class WorkflowHandle<O = unknown> {
  // Private by the language, so that a handle that is logged or stored by mistake is its id and nothing more.
  readonly #client: RunAccess;
  readonly #hub: ResultHub;
  readonly #transaction: CallerTransaction | undefined;
  /** The round of the event loop in which the run was created here; undefined when somebody else may have. */
  readonly #createdIn: number | undefined;

  /** @internal */
  constructor(
    readonly runId: string,
    /** Whether the call that gave this handle created the run; false when it was there before. */
    readonly created: boolean,
    client: RunAccess,
    hub: ResultHub,
    transaction: CallerTransaction | undefined,
    createdIn?: number,
  ) {
    this.#client = client;
    this.#hub = hub;
    this.#transaction = transaction;
    this.#createdIn = createdIn;
  }

  /**
   * What the workflow returned, as soon as it has.
   *
   * @param options.timeout how long to wait at most, or until when; for ever when absent
   * @param options.follow `false`: wait for the run of this id alone; `undefined` is the result of one that was continued as another
   * @throws WorkflowFailedError with what the workflow threw as its cause
   * @throws WorkflowCancelledError, WorkflowTerminatedError, ResultTimeoutError, RunNotFoundError
   * @throws PayloadUnreadableError when this process cannot read what it returned
   * @throws RunNotCommittedError while the transaction that started the run is open
   * @example const receipt = await handle.result({ timeout: '5m' });
   */
  async result(options: { timeout?: Duration | Date } & FollowOptions = {}): Promise<O> {
    const { timeout, follow } = checkOptions(options, 'options', ['timeout', 'follow']);
    const following = checkFollowing(follow) ? 'chain' : 'none';
    const timeoutMs = timeout === undefined ? undefined : resultDeadline(timeout, 'options.timeout', this.#hub.now());
    this.refuseUncommitted();
    const ask = this.#createdIn === this.#hub.round ? 'later' : 'now';
    return this.outcome(await this.#hub.wait(this.runId, timeoutMs, ask, following));
  }

  /**
   * The status of the run; of one that was continued, that of the run that goes on in its place. See `WorkflowClient.status`.
   *
   * @throws RunNotFoundError, RunNotCommittedError while the transaction that started the run is open
   */
  status(options?: { follow?: true }): Promise<RunStatus>;
  status(options: FollowOptions): Promise<ShownStatus>;
  async status(options?: FollowOptions): Promise<ShownStatus> {
    this.refuseUncommitted();
    return this.#client.status(this.runId, options);
  }

  /**
   * Everything that is known of the run, or of the run that goes on in its place. See `WorkflowClient.describe`.
   *
   * @throws RunNotFoundError, RunNotCommittedError while the transaction that started the run is open
   */
  async describe(options?: FollowOptions): Promise<RunDescription<O>> {
    this.refuseUncommitted();
    return (await this.#client.describe(this.runId, options)) as RunDescription<O>;
  }

  /**
   * The recorded steps, in the order in which their results came. See `WorkflowClient.steps`.
   *
   * @throws RunNotFoundError, RunNotCommittedError while the transaction that started the run is open
   */
  async steps(options?: StepsOptions): Promise<StepDescription[]> {
    this.refuseUncommitted();
    return this.#client.steps(this.runId, options);
  }

  /**
   * Everything that happened to the run, in order. See `WorkflowClient.history`.
   *
   * @throws InvalidInputError, RunNotFoundError, RunNotCommittedError while the transaction that started the run is open
   */
  async history(options?: HistoryOptions): Promise<HistoryPage> {
    this.refuseUncommitted();
    return this.#client.history(this.runId, options);
  }

  /**
   * Asks the run to stop. See `WorkflowClient.cancel`.
   *
   * @throws RunNotFoundError, RunNotCommittedError while the transaction that started the run is open and this does not join it
   */
  async cancel(options?: CancelOptions): Promise<void> {
    try {
      await this.#client.cancel(this.runId, options);
    } catch (error) {
      if (error instanceof RunNotFoundError) this.refuseUncommitted();
      throw error;
    }
  }

  private refuseUncommitted(): void {
    if (this.#transaction?.holds(this.runId)) throw new RunNotCommittedError(this.runId);
  }

  /** Sends the run a signal. See `WorkflowClient.signal`. */
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

/** How many milliseconds are left of a time to wait. @throws InvalidInputError @internal */
export function resultDeadline(timeout: Duration | Date, argument: string, now: number): number {
  if (!types.isDate(timeout)) return toMilliseconds(timeout, argument);
  return Math.max(0, toTimestamp(timeout, argument) - now);
}
