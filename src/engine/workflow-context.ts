import type { Duration } from '../core/duration.js';
import type { SignalDefinition, SignalValue } from '../core/signal.js';
import type { InputOf, OutputOf, InputArguments, StartArguments, WorkflowTarget } from '../core/workflow-types.js';
import type {
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

/** What a workflow's `run` gets as its second argument: everything that is recorded, and nothing that differs between passes. */
export abstract class WorkflowContext {
  /** The id of the run. */
  abstract readonly runId: string;

  /** Aborted when the run is cancelled or ends, or this worker loses it. */
  abstract readonly abortSignal: AbortSignal;

  /**
   * Logs with the application's logger, with the run's id and workflow. Lines that an earlier pass has logged are left out when `run` is executed again.
   *
   * @example ctx.logger.log('waiting for the approval');
   */
  abstract readonly logger: RunLogger;

  /**
   * Executes `fn` once and records its result; when the run continues elsewhere, the recorded result is returned instead.
   *
   * @throws StepFailedError when all attempts have failed; its `cause` is the last error
   * @throws NestedStepError inside another step
   * @example const rate = await ctx.step('exchange rate', () => this.rates.today('EUR'));
   */
  abstract step<T>(name: string, fn: () => Promise<T> | T): Promise<T>;
  abstract step<T>(name: string, options: StepOptions, fn: () => Promise<T> | T): Promise<T>;

  /**
   * Waits, for milliseconds or for months. Survives restarts, and holds neither a connection nor a slot for longer than a moment.
   *
   * @example await ctx.sleep('3 days');
   */
  abstract sleep(duration: Duration, options?: WaitOptions): Promise<void>;

  /** Waits until a moment. One that has passed already is over at once. */
  abstract sleepUntil(date: Date, options?: WaitOptions): Promise<void>;

  /**
   * Waits for a signal, and takes it: the oldest of that name that nobody has taken. What comes before it is waited for is kept.
   *
   * @param options.timeout how long to wait at most, or until when
   * @returns what the signal carries, `true` when that is nothing; null when the time is over first
   * @example const approval = await ctx.waitForSignal(approved, { timeout: '2 days' });
   */
  abstract waitForSignal<P>(
    signal: SignalDefinition<P, never>,
    options: WaitOptions & { timeout: Duration | Date },
  ): Promise<SignalValue<P> | null>;
  abstract waitForSignal<P>(signal: SignalDefinition<P, never>, options?: WaitOptions): Promise<SignalValue<P>>;

  /**
   * Makes a hook: a token with which the outside world resumes this run without knowing its id, by POST or `client.resumeHook`. Durable when the promise
   * resolves; closed when the run ends. What comes before it is waited for is kept.
   *
   * @param options.token from 16 characters; chosen ones are free again when the run that has them has ended
   * @throws HookConflictError when another run has the token
   * @example
   * const hook = await ctx.hook<Payment>();
   * await ctx.step('ask', () => this.payments.ask(order, hook.url));
   * const payment = await hook.wait({ timeout: '1 day' });
   */
  abstract hook<T = unknown>(options: HookOptions<T> & { headers: readonly string[] }): Promise<Hook<HookRequest<T>>>;
  abstract hook<T = unknown>(options?: HookOptions<T>): Promise<Hook<T>>;

  /**
   * Executes branches side by side until one has ended, and withdraws at once whatever the others have open. Each gets an AbortSignal; steps and waits that
   * it calls need not be given it.
   *
   * @returns the winner's key and value; rejects when the first branch to end has failed
   * @example
   * const { key, value } = await ctx.race({ paid: () => hook.wait(), late: () => ctx.sleep('1 day') });
   */
  abstract race<B extends RaceBranches>(branches: B): Promise<RaceResult<B>>;

  /**
   * Starts a child run and waits for its result.
   *
   * @throws WorkflowFailedError with what the child threw as its cause; WorkflowCancelledError; ResultTimeoutError after `options.timeout`
   * @example const receipt = await ctx.invoke(ChargeWorkflow, order, { timeout: '1 hour' });
   */
  abstract invoke<W extends WorkflowTarget>(workflow: W, ...args: StartArguments<InputOf<W>, InvokeOptions>): Promise<OutputOf<W>>;
  abstract invoke(workflow: string, input?: unknown, options?: InvokeOptions): Promise<unknown>;

  /**
   * A child run for each input, `maxInFlight` at a time. Rejects when one fails; no more are started then, and those under way go on.
   *
   * @returns their results, in the order of the inputs
   */
  abstract invokeMany<W extends WorkflowTarget>(
    workflow: W,
    inputs: readonly InputOf<W>[],
    options?: InvokeManyOptions,
  ): Promise<OutputOf<W>[]>;
  abstract invokeMany(workflow: string, inputs: readonly unknown[], options?: InvokeManyOptions): Promise<unknown[]>;

  /** Starts a run that goes its own way. Resolves when it is durable. */
  abstract start<W extends WorkflowTarget>(workflow: W, ...args: StartArguments<InputOf<W>, StartChildOptions>): Promise<{ runId: string }>;
  abstract start(workflow: string, input?: unknown, options?: StartChildOptions): Promise<{ runId: string }>;

  /**
   * Ends this run and begins another in its place, with an empty history: for loops that would go on for ever. Signals that nobody took go with it, and
   * `handle.result()` follows.
   *
   * @example return ctx.continueAsNew(PollWorkflow, { since: ctx.now() });
   */
  abstract continueAsNew<W extends WorkflowTarget>(workflow: W, ...args: InputArguments<InputOf<W>>): Promise<never>;

  /**
   * Whether this run takes part in a change of the code: true for runs that come to this place for the first time with the change deployed, false for those
   * that were past it.
   *
   * @param id names the change; keep it for as long as runs from before it may exist
   * @example if (ctx.patched('check stock first')) await this.checkStock(order);
   */
  abstract patched(id: string): boolean;

  /** Shows a value to those who look at the run: `handle.describe()` has it under `state`. Not a step; the last value of a key counts. */
  abstract setState(key: string, value: unknown): void;

  /** The time of the last recorded result, or of the start: the same in every pass, unlike `new Date()`. */
  abstract now(): Date;

  /** A number from 0 up to but not including 1, the same in every pass. Not for secrets. */
  abstract random(): number;

  /** A version-4 UUID, the same in every pass. Not for secrets. */
  abstract uuid(): string;
}
