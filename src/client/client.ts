import { InvalidInputError } from '../core/errors/index.js';
import { checkText } from '../core/ids.js';
import type { EventArguments, EventDefinition } from '../core/event.js';
import type { DeclaredSchedule } from '../core/schedules/declared-schedule.js';
import type { SignalArguments, SignalDefinition } from '../core/signal.js';
import type { ForkOptions } from './control/control-options.js';
import { Control } from './control/control.js';
import { RunControl } from './control/run-control.js';
import { BulkOperations } from './control/bulk.js';
import { WorldRuns } from './queries/world-runs.js';
import { CallerTransactions } from './transactions/caller-transactions.js';
import type { CallerTransaction } from './transactions/caller-transaction.js';
import { DeadLetters } from './dead-letters.js';
import { checkExecuteOptions, type ExecuteOptions } from './execute-options.js';
import { WorkflowHandle } from './handle.js';
import { assertOutsideRun } from './assert-outside-run.js';
import { Queues } from './queues.js';
import { Retention } from './retention.js';
import type { SendOptions } from './send-options.js';
import { Events } from './events.js';
import type { ClientEmitOptions } from './emit-options.js';
import { Emitter } from './emitter.js';
import { Sender } from './sender.js';
import { checkStart, type StartOptions } from './start-options.js';
import { ScheduleDeclarations, type DeclarationEnvironment } from './schedules/schedule-declarations.js';
import { ScheduleFiring } from './schedules/schedule-firing.js';
import { Schedules } from './schedules/schedules.js';
import { Starter, type StartManyOptions } from './starter.js';
import type { ClientDependencies } from './dependencies.js';
import type { InputOf, OutputOf, Startable, StartArguments, WorkflowTarget } from '../core/workflow-types.js';

/**
 * Starts, queries and controls runs, and waits for their results. Inject this class in any process
 * that imports the module, with or without a worker.
 */
export class WorkflowClient extends RunControl {
  readonly #starter: Starter;
  readonly #control: Control;
  readonly #transactions: CallerTransactions;
  readonly #dependencies: ClientDependencies;
  readonly #sender: Sender;
  readonly #emitter: Emitter;
  /**
   * Operations on many runs. A dry run counts the runs and returns a token, which starts the
   * operation. See docs/operations.md.
   */
  readonly bulk: BulkOperations;
  /** Stored events: their list, and another dispatch of one. See docs/events.md. */
  readonly events: Events;
  /** Deletion of old runs by the option `retention`. See docs/operations.md. */
  readonly retention: Retention;
  /** Queues and their limits. See docs/queues.md. */
  readonly queues: Queues;
  /** Schedules that start runs at given times. See docs/schedules.md. */
  readonly schedules: Schedules;
  /** Messages that QStash could not deliver and does not try again. See docs/qstash.md. */
  readonly deadLetters: DeadLetters;
  /** Runs of the Workflow DevKit in the same database, read-only. See docs/world.md. */
  readonly world: WorldRuns;

  /** @internal */
  constructor(dependencies: ClientDependencies) {
    const transactions = new CallerTransactions(dependencies.database, dependencies.currentTransaction);
    const control = new Control(dependencies, transactions);
    super(dependencies, control);
    this.#transactions = transactions;
    this.#control = control;
    this.#starter = new Starter(dependencies, this.#transactions, (...args) => this.#handle(...args));
    this.#dependencies = dependencies;
    this.schedules = new Schedules(dependencies, this.#starter, this.#transactions);
    this.bulk = new BulkOperations(dependencies);
    this.events = new Events(dependencies);
    this.retention = new Retention(dependencies);
    this.queues = new Queues(dependencies, (runId, options) => this.cancel(runId, options));
    this.deadLetters = new DeadLetters(dependencies.database, dependencies.deadLetters);
    this.world = new WorldRuns(dependencies.database);
    this.#sender = new Sender(dependencies, this.#transactions);
    this.#emitter = new Emitter(dependencies, this.#transactions);
  }

  /**
   * Starts a run. The run is durable when the promise resolves. In a caller's transaction, the run
   * is durable when that transaction commits.
   *
   * @param workflow the class of the workflow, a `workflowRef`, or the workflow's name
   * @param args the workflow's input, checked by its `input` schema if it has one, and then the
   *   options: id, queue, priority, delay, timeout, tags and transaction of the run
   * @throws InvalidInputError when an argument is invalid; `issues` lists what the schema rejects
   * @throws SerializationError, PayloadTooLargeError when the input cannot be stored
   * @throws WorkflowNotFoundError when `workflow` is a class that is not a workflow
   * @throws RunAlreadyExistsError when the id belongs to a run of another workflow, or `onConflict`
   *   is `'reject'`
   * @throws TransactionConflictError when a concurrent transaction conflicts: repeat the caller's
   *   transaction
   * @throws LeftoversError when rows of a deleted run with the same id cannot be removed
   * @example
   * await client.start(OrderWorkflow, order, { id: `order-${order.id}`, manager });
   */
  start<W extends Startable>(workflow: W, ...args: StartArguments<InputOf<W>, StartOptions>): Promise<WorkflowHandle<OutputOf<W>>>;
  start(workflow: unknown, input?: unknown, options: StartOptions = {}): Promise<WorkflowHandle<never>> {
    try {
      assertOutsideRun('start');
      const checked = checkStart(workflow, options, this.#dependencies);
      const joined = this.#transactions.find(checked.options.manager);
      return this.#starter.startChecked(checked, joined, input) as Promise<WorkflowHandle<never>>;
    } catch (error) {
      return Promise.reject(error);
    }
  }

  /**
   * Starts a run for each input. Checks all inputs before it starts the first run. The starts are
   * atomic only in a caller's transaction. Otherwise some runs may have been started when this
   * method rejects. With ids, the call can be repeated: no run is started twice.
   *
   * @param options options of every run, or a function that returns the options for one input
   *   (default: see each option)
   * @returns the handles, in the order of the inputs
   * @throws the errors of `start`
   * @example
   * await client.startMany(InvoiceWorkflow, orders, (order) => ({ id: `invoice-${order.id}` }));
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
   * Starts a run and waits for its result: `start` and `result` in one call.
   *
   * Set `resultTimeout` when a user or a request waits for this call, because a run that no process
   * executes never ends.
   *
   * @throws ResultTimeoutError with the run's id when `resultTimeout` has passed; the run continues
   * @throws InvalidInputError in a caller's transaction, unless `manager` is `'none'`: this call
   *   would wait for a run that exists only after the commit
   * @throws the errors of `start` and of `WorkflowHandle.result`
   * @example
   * const receipt = await client.execute(OrderWorkflow, order, { resultTimeout: '10s' });
   */
  execute<W extends Startable>(workflow: W, ...args: StartArguments<InputOf<W>, ExecuteOptions>): Promise<OutputOf<W>>;
  async execute(workflow: unknown, input?: unknown, options: ExecuteOptions = {}): Promise<unknown> {
    const { start, timeoutMs } = checkExecuteOptions(options, this.#dependencies.hub.now());
    if (this.#transactions.find(start.manager))
      throw new InvalidInputError(
        'currentTransaction',
        "returns an open transaction, in which execute would wait for its own commit: use start, or pass manager: 'none'",
      );
    const handle = await this.start(workflow as string, input, start);
    return handle.result(timeoutMs === undefined ? {} : { timeout: timeoutMs });
  }

  /**
   * Returns a handle to an existing run. Sends no query, so it also succeeds when no run has the
   * id.
   */
  getHandle<W extends WorkflowTarget>(workflow: W, runId: string): WorkflowHandle<OutputOf<W>>;
  getHandle<O = unknown>(runId: string): WorkflowHandle<O>;
  getHandle(workflowOrId: unknown, runId?: string): WorkflowHandle<never> {
    const id = checkText(arguments.length === 1 ? workflowOrId : runId, 'runId');
    return this.#handle(id, false) as WorkflowHandle<never>;
  }

  /**
   * Starts a new run of the same workflow with the same input, queue and tags. The original run may
   * have any status and does not change.
   *
   * @param options.fromStep the key of a recorded step; the new run takes over the steps recorded
   *   before it (default: none)
   * @param options.follow `false` forks the run with exactly this id, not the run that continues it
   *   (default: `true`)
   * @returns the handle of the new run
   * @throws InvalidInputError, RunNotFoundError
   * @example
   * const copy = await client.fork(runId, { fromStep: 'ship' });
   */
  async fork(runId: string, options: ForkOptions = {}): Promise<WorkflowHandle> {
    assertOutsideRun('fork');
    return this.#handle(await this.#control.fork(runId, options), true);
  }

  /**
   * Sends a signal to a run. The signal is kept until the run takes it. The signal is durable when
   * the promise resolves. In a caller's transaction, it is durable when that transaction commits.
   *
   * @throws InvalidInputError, SerializationError, PayloadTooLargeError when an argument is invalid
   * @throws RunNotFoundError, RunEndedError, InboxFullError
   * @example
   * await client.signal(runId, approved, { by: 'ann' }, { idempotencyKey: request.id });
   */
  signal<P, Sent>(runId: string, signal: SignalDefinition<P, Sent>, ...args: SignalArguments<Sent, SendOptions>): Promise<void>;
  async signal(runId: string, signal: unknown, payload?: unknown, options: SendOptions = {}): Promise<void> {
    assertOutsideRun('signal');
    await this.#sender.signal(runId, signal, payload, options);
  }

  /**
   * Emits an event: starts the workflows that have subscribed to the event, and resumes the runs
   * that wait for it. The event is durable when the promise resolves. In a caller's transaction,
   * the event happens when that transaction commits.
   *
   * @param args the payload, and the options: `id`, by which an event is emitted only once
   *   (default: a new ULID), and `manager`, the transaction to join (default: the ambient one)
   * @throws InvalidInputError when an argument is invalid, the payload does not fit the event's
   *   schema, or the key function fails
   * @throws SerializationError, PayloadTooLargeError when the payload cannot be stored
   * @throws TransactionConflictError when a concurrent transaction conflicts
   * @throws DatabaseUnavailableError when the database does not answer
   * @example
   * await client.emit(orderPaid, { orderId: '7', cents: 900 }, { id: stripeEvent.id, manager });
   */
  emit<P, Sent>(event: EventDefinition<P, Sent>, ...args: EventArguments<Sent, ClientEmitOptions>): Promise<void>;
  async emit(event: unknown, payload?: unknown, options: ClientEmitOptions = {}): Promise<void> {
    assertOutsideRun('emit');
    await this.#emitter.emit(event, payload, options);
  }

  /**
   * Sends a payload to a hook, which resumes the run that created it. The payload is kept until the
   * run takes it. If the run created the hook with `headers`, it receives the payload as the body,
   * and no headers.
   *
   * @throws InvalidInputError also when the payload does not match the hook's schema. Only a
   *   process that has executed the run knows the schema; other processes accept any payload
   * @throws SerializationError, PayloadTooLargeError when the payload cannot be stored
   * @throws HookNotFoundError when no run has a hook with that token
   * @throws RunEndedError, InboxFullError
   */
  async resumeHook(token: string, payload?: unknown): Promise<void> {
    assertOutsideRun('resumeHook');
    await this.#sender.resumeHook(token, payload);
  }

  /** @internal Returns what starts the runs of due schedules. */
  scheduleFiring(): ScheduleFiring {
    return new ScheduleFiring(this.#dependencies, this.#starter, this.#transactions, this.#control);
  }

  /** @internal Returns what stores the schedules that the code of this process declares. */
  scheduleDeclarations(declared: readonly DeclaredSchedule[], environment: DeclarationEnvironment): ScheduleDeclarations {
    return new ScheduleDeclarations(this.#dependencies, declared, environment);
  }

  #handle(runId: string, created: boolean, transaction?: CallerTransaction, createdInTurn?: number): WorkflowHandle {
    return new WorkflowHandle(runId, created, this, this.#dependencies.hub, this.#dependencies.streams, transaction, createdInTurn);
  }
}
