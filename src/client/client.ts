import { checkOptions } from '../core/check-options.js';
import type { Duration } from '../core/duration.js';
import { InvalidInputError } from '../core/errors/index.js';
import { checkText } from '../core/ids.js';
import type { SignalArguments, SignalDefinition } from '../core/signal.js';
import { validate } from '../core/standard-schema.js';
import {
  Control,
  type AuditOptions,
  type CancelOptions,
  type ForkOptions,
  type RetryRunOptions,
  type StepResult,
} from './control/control.js';
import { BulkOperations } from './control/bulk.js';
import { CallerTransactions } from './transactions/caller-transactions.js';
import type { CallerTransaction } from './transactions/caller-transaction.js';
import { DeadLetters } from './dead-letters.js';
import { resultDeadline, WorkflowHandle } from './handle.js';
import { assertOutsideRun } from './assert-outside-run.js';
import { RunQueries } from './queries/run-queries.js';
import { Sender, type SendOptions } from './sender.js';
import { checkStart, checkStartOptions, START_OPTIONS, toNewRun, type StartOptions } from './start-options.js';
import { Starter, type StartManyOptions } from './starter.js';
import type { ClientDependencies } from './dependencies.js';
import type { InputOf, OutputOf, Startable, StartArguments, WorkflowTarget } from '../core/workflow-types.js';

/** How `execute` starts its run, and how long it waits. */
export type ExecuteOptions = Omit<StartOptions, 'manager'> & {
  /** Joins no transaction around the call: `execute` would wait for itself in one. */
  manager?: 'none';
  /**
   * How long the call waits for the result at most, or until when; for ever when absent. The run
   * goes on after that. `timeout` is another thing: how long the run itself may take.
   */
  resultTimeout?: Duration | Date;
};

const EXECUTE_OPTIONS = [...START_OPTIONS, 'resultTimeout'];

/** Starts runs, waits for them and looks at them. Inject it; it works in every process that has the module, with or without a worker. */
export class WorkflowClient extends RunQueries {
  readonly #starter: Starter;
  readonly #control: Control;
  readonly #transactions: CallerTransactions;
  readonly #dependencies: ClientDependencies;
  readonly #sender: Sender;
  /** Does something to many runs: a dry run counts them, and its token does it. See docs/operations.md. */
  readonly bulk: BulkOperations;
  /** Messages that QStash has given up on. See docs/qstash.md. */
  readonly deadLetters: DeadLetters;

  /** @internal */
  constructor(dependencies: ClientDependencies) {
    super(dependencies);
    this.#transactions = new CallerTransactions(dependencies.database, dependencies.currentTransaction);
    this.#starter = new Starter(dependencies, this.#transactions, (...args) => this.#handle(...args));
    this.#control = new Control(dependencies, this.#transactions);
    this.#dependencies = dependencies;
    this.bulk = new BulkOperations(dependencies);
    this.deadLetters = new DeadLetters(dependencies.database, dependencies.deadLetters);
    this.#sender = new Sender(dependencies, this.#transactions);
  }

  /**
   * Starts a run. When the promise resolves, the run is durable (in a transaction of the caller: when that commits).
   *
   * @param workflow its class, a `workflowRef`, or its name
   * @throws InvalidInputError, SerializationError, PayloadTooLargeError when an argument is not usable; nothing is written. What the workflow's `input`
   *   schema has against the input is in the `issues` of the first
   * @throws RunAlreadyExistsError when the id belongs to a run of another workflow, or `onConflict` is `'reject'`
   * @throws TransactionConflictError when another transaction came between and the caller's must be repeated
   * @throws LeftoversError when rows of a deleted run of the same id cannot be removed
   * @example
   * await client.start(OrderWorkflow, order, { id: `order-${order.id}`, manager });
   */
  start<W extends Startable>(workflow: W, ...args: StartArguments<InputOf<W>, StartOptions>): Promise<WorkflowHandle<OutputOf<W>>>;
  async start(workflow: unknown, input?: unknown, options: StartOptions = {}): Promise<WorkflowHandle<never>> {
    assertOutsideRun('start');
    const { payloads } = this.#dependencies;
    const checked = checkStart(workflow, options, this.#dependencies);
    const joined = this.#transactions.find(checked.options.manager);
    const value = checked.schema ? await validate(checked.schema, input, 'input') : input;
    const run = toNewRun(checked, value, payloads, 'input');
    if (joined) {
      const [handle] = await this.#starter.startIn(joined, [run], [checked.options]);
      return handle as WorkflowHandle<never>;
    }
    return (await this.#starter.start(run, checked.options)) as WorkflowHandle<never>;
  }

  /**
   * Starts a run for each input; all are checked before any is started. Not atomic, unless a transaction of the caller makes it so.
   *
   * @returns the handles, in the order of the inputs
   * @example await client.startMany(InvoiceWorkflow, orders, (order) => ({ id: `invoice-${order.id}` }));
   */
  startMany<W extends WorkflowTarget>(
    workflow: W,
    inputs: readonly InputOf<W>[],
    options?: StartManyOptions<InputOf<W>>,
  ): Promise<WorkflowHandle<OutputOf<W>>[]>;
  startMany<I>(workflow: string, inputs: readonly I[], options?: StartManyOptions<I>): Promise<WorkflowHandle[]>;
  async startMany<I>(workflow: unknown, inputs: readonly I[], options: StartManyOptions<I> = {}): Promise<WorkflowHandle<never>[]> {
    assertOutsideRun('startMany');
    return (await this.#starter.startMany(workflow, inputs, options)) as WorkflowHandle<never>[];
  }

  /**
   * Starts a run and waits for its result: `start` and `result` in one.
   *
   * `resultTimeout` bounds the wait. Give one wherever somebody waits for the answer, because a run
   * that no process executes never ends.
   *
   * @throws ResultTimeoutError with the run's id when that time is over; the run goes on
   * @throws InvalidInputError in a transaction of the caller, where it would wait for itself; with `manager: 'none'` it does not join that
   * @throws what `start` and `WorkflowHandle.result` throw
   * @example const receipt = await client.execute(OrderWorkflow, order, { resultTimeout: '10s' });
   */
  execute<W extends Startable>(workflow: W, ...args: StartArguments<InputOf<W>, ExecuteOptions>): Promise<OutputOf<W>>;
  async execute(workflow: unknown, input?: unknown, options: ExecuteOptions = {}): Promise<unknown> {
    const { resultTimeout, ...start } = checkOptions(options, 'options', EXECUTE_OPTIONS);
    const checked = checkStartOptions(start);
    const timeout =
      resultTimeout === undefined ? undefined : resultDeadline(resultTimeout, 'options.resultTimeout', this.#dependencies.hub.now());
    if (checked.manager !== undefined && checked.manager !== 'none')
      throw new InvalidInputError('options.manager', 'cannot be used by execute, which would wait for itself');
    if (this.#transactions.find(checked.manager))
      throw new InvalidInputError(
        'currentTransaction',
        "finds an open transaction, in which execute would wait for itself: start, or say manager: 'none'",
      );
    const handle = await this.start(workflow as string, input, checked);
    return handle.result(timeout === undefined ? {} : { timeout });
  }

  /** A handle to a run that exists. Asks nothing of the database. */
  getHandle<W extends WorkflowTarget>(workflow: W, runId: string): WorkflowHandle<OutputOf<W>>;
  getHandle<O = unknown>(runId: string): WorkflowHandle<O>;
  getHandle(workflowOrId: unknown, runId?: string): WorkflowHandle<never> {
    const id = checkText(arguments.length === 1 ? workflowOrId : runId, 'runId');
    return this.#handle(id, false) as WorkflowHandle<never>;
  }

  /**
   * Asks a run to stop. Its open steps and waits reject with WorkflowCancelledError, `catch` and `finally` may still run steps for 30 seconds,
   * and it ends `cancelled` even if its code swallows the error. A run that has never been executed is cancelled at once; one that has ended
   * stays as it is. Resolves when the request is durable (in a transaction of the caller: it is, and the run hears of it, when that commits).
   *
   * @throws RunNotFoundError
   */
  async cancel(runId: string, options: CancelOptions = {}): Promise<void> {
    assertOutsideRun('cancel');
    await this.#control.cancel(runId, options);
  }

  /**
   * Ends a run for certain, whatever its code is and whether any process can execute it: a run that is
   * blocked, that nobody serves, or that hangs. None of its code is executed: no `finally`, no
   * compensation. The run ends `cancelled`, its result is `WorkflowTerminatedError` (code
   * `TERMINATED`), a parent that waits for it gets the same, and its waits and hooks are closed. A
   * body that is being executed goes on to its end, and its result is not recorded. Children that the
   * run has started go on.
   *
   * @param options.actor who ends the run, for its history
   * @param options.reason why the run is ended, for its history
   * @throws InvalidInputError, RunNotFoundError, RunEndedError
   * @example await client.terminate('order-7', { actor: 'ann', reason: 'version 1 will never be deployed again' });
   */
  async terminate(runId: string, options: AuditOptions = {}): Promise<void> {
    assertOutsideRun('terminate');
    await this.#control.terminate(runId, options);
  }

  /**
   * Lets a run rest until it is resumed: it begins nothing new. One that is executed lets the bodies under way end, records what they came to, and
   * leaves. What is sent to it meanwhile is kept; a timer that falls due, or a deadline, counts when the run is resumed. A run that ends with what
   * was under way has ended; one that is being cancelled, or paused already, stays as it is. Resolves when the request is durable.
   *
   * @throws RunNotFoundError, RunEndedError
   * @example await client.pause(runId, { actor: 'ann', reason: 'the bank is closed' });
   */
  async pause(runId: string, options: AuditOptions = {}): Promise<void> {
    assertOutsideRun('pause');
    await this.#control.pause(runId, options);
  }

  /**
   * Lets a paused run go on where it was, or takes back a request to pause that the run has not followed yet. A blocked run is due again, also for the
   * deployments that have blocked it: call this once the cause is gone. Other runs stay as they are.
   *
   * @throws RunNotFoundError, RunEndedError
   * @example await client.resume(runId, { actor: 'ann', reason: 'the trigger has been dropped' });
   */
  async resume(runId: string, options: AuditOptions = {}): Promise<void> {
    assertOutsideRun('resume');
    await this.#control.resume(runId, options);
  }

  /**
   * Has a failed run go on: the same run, in its next generation. The step that it failed of is executed anew, with all attempts, and so is what was recorded
   * after it; a run that failed outside of steps goes on behind its last one. Removed steps stay in the run's events. See docs/operations.md.
   *
   * @param options.fromStep the key of a recorded step from which on to execute anew instead
   * @throws RunNotFoundError, RunNotRetryableError, InvalidInputError
   * @example await client.retry(runId, { actor: 'ann', reason: 'the card has been replaced' });
   */
  async retry(runId: string, options: RetryRunOptions = {}): Promise<void> {
    assertOutsideRun('retry');
    await this.#control.retry(runId, options);
  }

  /**
   * Starts a new run of the same workflow with the same input, queue and tags, whatever became of the other, which stays as it is.
   *
   * @param options.fromStep the key of a recorded step: what was recorded before it counts for the new run as well. Absent: from the beginning
   * @param options.follow `false`: of the run of this very id, also where another one goes on in its place
   * @throws RunNotFoundError, InvalidInputError
   * @example const again = await client.fork(runId, { fromStep: 'ship' });
   */
  async fork(runId: string, options: ForkOptions = {}): Promise<WorkflowHandle> {
    assertOutsideRun('fork');
    return this.#handle(await this.#control.fork(runId, options), true);
  }

  /**
   * Gives a step its result instead of its body: one that fails and is tried again, one that is being executed (its `abortSignal` is aborted), a wait. One that the run
   * has not called yet gets it when it is called. A failed run goes on with it, as by `retry`, from that step on.
   *
   * @param result `{ output }`, or `{ error }`, which the step then fails with
   * @throws RunNotFoundError, RunEndedError
   * @throws InvalidInputError when the step of a run that has not failed has its result, or the failed run has not recorded it
   * @throws SerializationError, PayloadTooLargeError
   * @example await client.resolveStep(runId, 'charge', { output: { id: 'ch_1' } }, { reason: 'charged by hand' });
   */
  async resolveStep(runId: string, stepKey: string, result: StepResult, options: AuditOptions = {}): Promise<void> {
    assertOutsideRun('resolveStep');
    await this.#control.resolveStep(runId, stepKey, result, options);
  }

  /**
   * Sends a signal to a run. It is kept until the run takes it; when the promise resolves it is durable (with `manager`: when the transaction commits).
   *
   * @throws InvalidInputError, SerializationError, PayloadTooLargeError
   * @throws RunNotFoundError, RunEndedError
   * @example await client.signal(runId, approved, { by: 'ann' }, { idempotencyKey: request.id });
   */
  signal<P, Sent>(runId: string, signal: SignalDefinition<P, Sent>, ...args: SignalArguments<Sent, SendOptions>): Promise<void>;
  async signal(runId: string, signal: unknown, payload?: unknown, options: SendOptions = {}): Promise<void> {
    assertOutsideRun('signal');
    await this.#sender.signal(runId, signal, payload, options);
  }

  /**
   * Resumes whichever run has the hook: it is kept until the run takes it. For a hook with `headers` the payload is the body, and there are no headers.
   *
   * @throws InvalidInputError, SerializationError, PayloadTooLargeError; the first also when the payload does not fit the hook's schema and this process has executed its run
   * @throws HookNotFoundError when no run has that token; RunEndedError when the run has ended
   */
  async resumeHook(token: string, payload?: unknown): Promise<void> {
    assertOutsideRun('resumeHook');
    await this.#sender.resumeHook(token, payload);
  }

  #handle(runId: string, created: boolean, transaction?: CallerTransaction, createdIn?: number): WorkflowHandle {
    return new WorkflowHandle(runId, created, this, this.#dependencies.hub, transaction, createdIn);
  }
}
