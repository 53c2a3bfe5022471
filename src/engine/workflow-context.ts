import type { Duration } from '../core/duration.js';
import type { EventArguments, EventDefinition, EventValue } from '../core/event.js';
import type { SignalDefinition, SignalValue } from '../core/signal.js';
import type { InputOf, OutputOf, InputArguments, StartArguments, WorkflowTarget } from '../core/workflow-types.js';
import type {
  ChildCompensation,
  CompensateOptions,
  EmitOptions,
  EventWaitOptions,
  StartChildOptions,
  Hook,
  HookOptions,
  HookRequest,
  InvokeManyOptions,
  InvokeOptions,
  RaceBranches,
  RaceResult,
  StepOptions,
  WaitOptions,
} from './context-options.js';
import type { RunLogger } from '../core/log-fields.js';
import type { RunSchedule } from '../core/schedules/schedule-types.js';
import type { WorkflowStream } from '../core/stream.js';

/**
 * Second argument of `run`. Values that its methods return are the same each time `run` is executed
 * for the same run.
 */
export abstract class WorkflowContext {
  /** Id of the run. */
  abstract readonly runId: string;

  /**
   * AbortSignal that is aborted when the run is cancelled or ends, or when this worker loses the
   * run.
   */
  abstract readonly abortSignal: AbortSignal;

  /**
   * Schedule and due time of the run. Undefined when no schedule started the run. A fork, and a run
   * that continues this one, have the same value.
   *
   * @example const day = ctx.schedule?.dueAt ?? ctx.now();
   */
  abstract readonly schedule: RunSchedule | undefined;

  /**
   * Logger of the application, with the id and the workflow of the run. Lines that were already
   * logged are left out when `run` is executed again.
   *
   * @example ctx.logger.log('waiting for the approval');
   */
  abstract readonly logger: RunLogger;

  /**
   * Executes `fn` and records its result. When `run` is executed again, `step` returns the recorded
   * result and does not execute `fn`.
   *
   * @param name name of the step, which becomes its key
   * @throws StepFailedError when all attempts have failed; its `cause` is the last error
   * @throws NestedStepError inside another step
   * @example const rate = await ctx.step('exchange rate', () => this.rates.today('EUR'));
   */
  abstract step<T>(name: string, fn: () => Promise<T> | T): Promise<T>;
  abstract step<T>(name: string, options: StepOptions & CompensateOptions<T>, fn: () => Promise<T> | T): Promise<T>;

  /**
   * Executes `fn` as a saga. When `fn` throws, the steps that it called are undone by their
   * compensations, in reverse order, and `saga` rejects with the error. The caller may catch the
   * error and try something else. When `fn` succeeds, its steps belong to the enclosing saga or the
   * run, which undoes them if it fails later.
   *
   * When a compensation fails for good, the run fails with CompensationFailedError, and `saga` does
   * not return.
   *
   * @param fn function that calls the steps of the saga
   * @returns the result of `fn`
   * @throws the error of `fn`, once the steps are undone
   * @throws InvalidInputError when `fn` is no function, and NestedStepError inside a step
   * @example
   * for (const airline of airlines) {
   *   try {
   *     return await ctx.saga(() => this.book(airline, trip));
   *   } catch (error) {
   *     if (ctx.abortSignal.aborted) throw error;
   *     ctx.logger.warn(`${airline} has no seat`);
   *   }
   * }
   */
  abstract saga<T>(fn: () => Promise<T> | T): Promise<T>;

  /**
   * Waits for a duration, from milliseconds to months. The wait survives restarts. A long wait
   * holds neither a database connection nor a slot of the worker.
   *
   * @param duration milliseconds, or a duration such as `'5m'`
   * @example await ctx.sleep('3 days');
   */
  abstract sleep(duration: Duration, options?: WaitOptions): Promise<void>;

  /** Waits until a moment. Returns at once when the moment has passed. */
  abstract sleepUntil(date: Date, options?: WaitOptions): Promise<void>;

  /**
   * Waits for a signal with the name of `signal`, and takes the oldest one that no wait has taken.
   * Signals that arrive before the wait are kept.
   *
   * @param options.timeout longest time to wait: milliseconds, a duration such as `'5m'`, or the
   *   Date at which the wait ends (default: no limit)
   * @returns the payload of the signal, or `true` when it has none; null when the timeout has
   * passed
   * @example const approval = await ctx.waitForSignal(approved, { timeout: '2 days' });
   */
  abstract waitForSignal<P>(
    signal: SignalDefinition<P, never>,
    options: WaitOptions & { timeout: Duration | Date },
  ): Promise<SignalValue<P> | null>;
  abstract waitForSignal<P>(signal: SignalDefinition<P, never>, options?: WaitOptions): Promise<SignalValue<P>>;

  /**
   * Waits for an event, which any process may emit. An event that happened since the start of the
   * run meets the wait too, oldest first. A run receives each event once.
   *
   * @param options.key key of the event (default: events of every key)
   * @param options.where top-level fields that the payload must have (default: every payload)
   * @param options.since time from which events count: `'run-start'`, `'now'`, a Date, or the time
   *   before the call in milliseconds or as a duration (default: `'run-start'`)
   * @param options.timeout longest time to wait: milliseconds, a duration such as `'5m'`, or the
   *   Date at which the wait ends (default: no limit)
   * @returns the payload of the event, or `true` when it has none; null when the timeout has passed
   * @throws InvalidInputError when an argument is invalid
   * @example const paid = await ctx.waitForEvent(orderPaid, { key: order.id, timeout: '3 days' });
   */
  abstract waitForEvent<P>(
    event: EventDefinition<P, never>,
    options: EventWaitOptions<P> & { timeout: Duration | Date },
  ): Promise<EventValue<P> | null>;
  abstract waitForEvent<P>(
    event: EventDefinition<P, never>,
    options?: EventWaitOptions<P> & { timeout?: undefined },
  ): Promise<EventValue<P>>;

  /**
   * Emits an event as a step of this run. The event is durable when the promise resolves, and is
   * emitted once, also after a crash.
   *
   * @param args the payload, and the options: `id`, by which an event is emitted only once
   *   (default: an id made of the run's id and the step key)
   * @throws StepFailedError when the payload cannot be stored or does not fit the event's schema
   * @throws InvalidInputError when another argument is invalid
   * @example await ctx.emit(orderShipped, { orderId: order.id });
   */
  abstract emit<P, Sent>(event: EventDefinition<P, Sent>, ...args: EventArguments<Sent, EmitOptions>): Promise<void>;

  /**
   * Creates a hook: a token with which the outside world resumes this run without knowing the run's
   * id, by POST or `client.resumeHook`. The hook is durable when the promise resolves, and closed
   * when the run ends. Payloads that arrive before the wait are kept.
   *
   * @param options.token from 16 to 255 characters; a chosen token can be used again when its run
   *   has ended (default: 43 characters that cannot be guessed)
   * @throws HookConflictError when another run has the token
   * @example
   * const hook = await ctx.hook<Payment>();
   * await ctx.step('ask', () => this.payments.ask(order, hook.url));
   * const payment = await hook.wait({ timeout: '1 day' });
   */
  abstract hook<T = unknown>(options: HookOptions<T> & { headers: readonly string[] }): Promise<Hook<HookRequest<T>>>;
  abstract hook<T = unknown>(options?: HookOptions<T>): Promise<Hook<T>>;

  /**
   * Executes branches in parallel until one has ended, and then withdraws all open calls of the
   * other branches. A withdrawn call rejects with RaceLostError and is not recorded. Each branch
   * gets an AbortSignal. Steps and waits that a branch calls are withdrawn even if the signal is
   * not passed to them.
   *
   * @returns the key and the value of the winner; rejects when the first branch to end has failed
   * @example
   * const { key, value } = await ctx.race({
   *   paid: () => hook.wait(),
   *   late: () => ctx.sleep('1 day'),
   * });
   */
  abstract race<B extends RaceBranches>(branches: B): Promise<RaceResult<B>>;

  /**
   * Starts a child run and waits for its result.
   *
   * @throws WorkflowFailedError when the child fails, with the child's error as its cause;
   * WorkflowCancelledError or WorkflowTerminatedError when the child is stopped; ResultTimeoutError
   * after `options.timeout`
   * @example const receipt = await ctx.invoke(ChargeWorkflow, order, { timeout: '1 hour' });
   */
  abstract invoke<W extends WorkflowTarget>(
    workflow: W,
    ...args: StartArguments<InputOf<W>, InvokeOptions & ChildCompensation<OutputOf<W>>>
  ): Promise<OutputOf<W>>;
  abstract invoke(workflow: string, input?: unknown, options?: InvokeOptions & ChildCompensation<unknown>): Promise<unknown>;

  /**
   * Starts a child run for each input, at most `maxInFlight` at a time, and waits for all results.
   * Rejects when one child fails. After that, no more children start, and children that were
   * started continue.
   *
   * @param options.maxInFlight largest number of children that run at the same time (default: 50)
   * @returns the results, in the order of the inputs
   */
  abstract invokeMany<W extends WorkflowTarget>(
    workflow: W,
    inputs: readonly InputOf<W>[],
    options?: InvokeManyOptions & ChildCompensation<OutputOf<W>>,
  ): Promise<OutputOf<W>[]>;
  abstract invokeMany(
    workflow: string,
    inputs: readonly unknown[],
    options?: InvokeManyOptions & ChildCompensation<unknown>,
  ): Promise<unknown[]>;

  /** Starts a run without waiting for its end. Resolves when the new run is durable. */
  abstract start<W extends WorkflowTarget>(workflow: W, ...args: StartArguments<InputOf<W>, StartChildOptions>): Promise<{ runId: string }>;
  abstract start(workflow: string, input?: unknown, options?: StartChildOptions): Promise<{ runId: string }>;

  /**
   * Ends this run and starts another in its place, with an empty history. Use it for loops without
   * an end. Signals that no wait has taken move to the new run, and `handle.result()` follows the
   * new run.
   *
   * @example return ctx.continueAsNew(PollWorkflow, { since: ctx.now() });
   */
  abstract continueAsNew<W extends WorkflowTarget>(workflow: W, ...args: InputArguments<InputOf<W>>): Promise<never>;

  /**
   * Returns true when this run uses a change of the code: when it first reached this line after the
   * change was deployed. Returns false for a run that passed this line before the deployment.
   *
   * @param id name of the change; keep it for as long as runs from before the change may exist
   * @example if (ctx.patched('check stock first')) await this.checkStock(order);
   */
  abstract patched(id: string): boolean;

  /**
   * Publishes a value, which `handle.describe()` returns under `state`. The call is not a step, and
   * a later value for the same key replaces an earlier one.
   */
  abstract setState(key: string, value: unknown): void;

  /**
   * Opens a stream of this run, for chunks that readers get while the run works. A replay repeats
   * the calls of `run`, and no chunk is stored twice. In the body of a step, the chunks belong to
   * the step, as with `currentStep().stream()`.
   *
   * @param name name of the stream (default: `'default'`)
   * @throws InvalidInputError when the name is invalid
   * @example await ctx.stream<Progress>('progress').write({ done: 3, of: 10 });
   */
  abstract stream<T = unknown>(name?: string): WorkflowStream<T>;

  /**
   * Time of the last recorded result, or of the start of the run. Unlike `new Date()`, this time is
   * the same whenever `run` is executed again.
   */
  abstract now(): Date;

  /**
   * Random number from 0 up to but not including 1, the same whenever `run` is executed again. Not
   * for secrets.
   */
  abstract random(): number;

  /** Random version-4 UUID, the same whenever `run` is executed again. Not for secrets. */
  abstract uuid(): string;
}
