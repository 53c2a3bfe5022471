import { checkOptions } from '../core/check-options.js';
import {
  ClientInRunError,
  InvalidInputError,
  RunAlreadyExistsError,
  RunNotFoundError,
  WorkflowCancelledError,
} from '../core/errors/index.js';
import { checkText } from '../core/ids.js';
import { isTerminal, type NewRun, type RunStatus } from '../core/run.js';
import { encode } from '../core/serializer/index.js';
import type { SignalArguments, SignalDefinition } from '../core/signal.js';
import { validate } from '../core/standard-schema.js';
import type { Committed } from '../core/transition.js';
import { scopes } from '../engine/current.js';
import { cancelInTransaction, requestCancel, sendCancelInTransaction, announceCancel, type CancelRequested } from '../store/sql/inbox.js';
import { loadHistories } from '../store/sql/load-histories.js';
import { countRuns } from '../store/sql/list-runs.js';
import { describeRun, readRunStatus } from '../store/sql/read-runs.js';
import { callerError } from './caller-errors.js';
import { CallerTransactions, type JoinedTransaction } from './caller-transactions.js';
import { toRunDescription, toStepDescription, type RunDescription, type StepDescription } from './describe.js';
import { WorkflowHandle, type CancelOptions } from './handle.js';
import { failureGroups, listPage, type FailureGroup, type FailuresOptions, type ListOptions, type RunPage } from './listing.js';
import { checkRunFilter, type RunFilter } from './run-filter.js';
import type { SendOptions } from './send-options.js';
import { Sender } from './sender.js';
import { checkStart, checkStartOptions, toNewRun, type StartOptions } from './start-options.js';
import type { ClientSurroundings } from './surroundings.js';
import { TransactionalStarter } from './transactional-starter.js';
import type { InputOf, OutputOf, StartArguments, WorkflowTarget } from '../core/workflow-types.js';

/** How `startMany` starts its runs; an id for each by a function. */
export type StartManyOptions<I> = Omit<StartOptions, 'id'> | ((input: I, index: number) => StartOptions);

/** How `execute` starts its run: a transaction of the caller cannot be joined, and `'none'` says that one around the call need not be. */
export type ExecuteOptions = Omit<StartOptions, 'manager'> & { manager?: 'none' };

/** Starts runs, waits for them and looks at them. Inject it; it works in every process that has the module, with or without a worker. */
export class WorkflowClient {
  readonly #starter: TransactionalStarter;
  readonly #transactions: CallerTransactions;
  readonly #surroundings: ClientSurroundings;
  readonly #sender: Sender;

  /** @internal */
  constructor(surroundings: ClientSurroundings) {
    this.#starter = new TransactionalStarter(surroundings.database);
    this.#transactions = new CallerTransactions(surroundings.database, surroundings.transactionManager);
    this.#surroundings = surroundings;
    this.#sender = new Sender(surroundings, this.#transactions);
  }

  /**
   * Starts a run. When the promise resolves, the run is durable (in a transaction of the caller: when that commits).
   *
   * @param workflow its class, a `workflowRef`, or its name
   * @throws InvalidInputError, SerializationError, PayloadTooLargeError when an argument is not usable; nothing is written. What the workflow's `input`
   *   schema has against the input is in the `issues` of the first
   * @throws RunAlreadyExistsError when the id belongs to a run of another workflow, or `onConflict` is `'reject'`
   * @throws TransactionConflictError when another transaction came between and the caller's must be repeated
   * @example
   * await client.start(OrderWorkflow, order, { id: `order-${order.id}`, manager });
   */
  start(workflow: string, input?: unknown, options?: StartOptions): Promise<WorkflowHandle>;
  start<W extends WorkflowTarget>(workflow: W, ...args: StartArguments<InputOf<W>, StartOptions>): Promise<WorkflowHandle<OutputOf<W>>>;
  async start(workflow: unknown, input?: unknown, options: StartOptions = {}): Promise<WorkflowHandle<never>> {
    refuseInRun('start');
    const { payloads } = this.#surroundings;
    const checked = checkStart(workflow, options, this.#surroundings);
    const joined = this.#transactions.find(checked.options.manager);
    const value = checked.schema ? await validate(checked.schema, input, 'input') : input;
    const run = toNewRun(checked, value, payloads, 'input');
    if (joined) {
      const [handle] = await this.startIn(joined, [run], [checked.options]);
      return handle as WorkflowHandle<never>;
    }
    return (await this.startRun(run, checked.options)) as WorkflowHandle<never>;
  }

  /**
   * Starts a run for each input; all are checked before any is started. Not atomic, unless a transaction of the caller makes it so.
   *
   * @returns the handles, in the order of the inputs
   * @example await client.startMany(InvoiceWorkflow, orders, (order) => ({ id: `invoice-${order.id}` }));
   */
  startMany<I>(workflow: string, inputs: readonly I[], options?: StartManyOptions<I>): Promise<WorkflowHandle[]>;
  startMany<W extends WorkflowTarget>(
    workflow: W,
    inputs: readonly InputOf<W>[],
    options?: StartManyOptions<InputOf<W>>,
  ): Promise<WorkflowHandle<OutputOf<W>>[]>;
  async startMany<I>(workflow: unknown, inputs: readonly I[], options: StartManyOptions<I> = {}): Promise<WorkflowHandle<never>[]> {
    refuseInRun('startMany');
    const list = checkInputs(inputs);
    const { payloads } = this.#surroundings;
    const checked = list.map((input, index) =>
      checkStart(workflow, typeof options === 'function' ? options(input, index) : options, this.#surroundings),
    );
    if (typeof options !== 'function' && checked.length > 1 && checked[0]!.options.id !== undefined) {
      throw new InvalidInputError('options.id', 'would be the same for all runs: give a function that makes the options of each');
    }
    if (checked.length === 0) checkStart(workflow, typeof options === 'function' ? {} : options, this.#surroundings);
    const each = checked.map((start) => start.options);
    const managers = new Set(each.map(({ manager }) => manager));
    if (managers.size > 1) throw new InvalidInputError('options.manager', 'must be the same for all runs');
    const joined = this.#transactions.find([...managers][0]);
    const schema = checked[0]?.schema;
    const values = schema ? await Promise.all(list.map((input, index) => validate(schema, input, `inputs[${index}]`))) : list;
    const runs = checked.map((start, index) => toNewRun(start, values[index], payloads, `inputs[${index}]`));
    if (joined) return (await this.startIn(joined, runs, each)) as WorkflowHandle<never>[];
    return (await Promise.all(runs.map((run, index) => this.startRun(run, each[index]!)))) as WorkflowHandle<never>[];
  }

  /**
   * Starts a run and waits for its result: `start` and `result` in one.
   *
   * @throws InvalidInputError in a transaction of the caller, where it would wait for itself; with `manager: 'none'` it does not join that
   */
  execute(workflow: string, input?: unknown, options?: ExecuteOptions): Promise<unknown>;
  execute<W extends WorkflowTarget>(workflow: W, ...args: StartArguments<InputOf<W>, ExecuteOptions>): Promise<OutputOf<W>>;
  async execute(workflow: unknown, input?: unknown, options: ExecuteOptions = {}): Promise<unknown> {
    const checked = checkStartOptions(options);
    if (checked.manager !== undefined && checked.manager !== 'none')
      throw new InvalidInputError('options.manager', 'cannot be used by execute, which would wait for itself');
    if (this.#transactions.find(checked.manager))
      throw new InvalidInputError(
        'transactionManager',
        "finds an open transaction, in which execute would wait for itself: start, or say manager: 'none'",
      );
    const handle = await this.start(workflow as string, input, checked);
    return handle.result();
  }

  /** A handle to a run that exists. Asks nothing of the database. */
  get<W extends WorkflowTarget>(workflow: W, runId: string): WorkflowHandle<OutputOf<W>>;
  get<O = unknown>(runId: string): WorkflowHandle<O>;
  get(workflowOrId: unknown, runId?: string): WorkflowHandle<never> {
    const id = checkText(arguments.length === 1 ? workflowOrId : runId, 'runId');
    return new WorkflowHandle<never>(id, false, this, this.#surroundings.hub, undefined);
  }

  /** @throws RunNotFoundError */
  async status(runId: string): Promise<RunStatus> {
    const status = await readRunStatus(this.#surroundings.database, checkText(runId, 'runId'));
    if (status === undefined) throw new RunNotFoundError(runId);
    return status;
  }

  /** @throws RunNotFoundError */
  async describe(runId: string): Promise<RunDescription> {
    const row = await describeRun(this.#surroundings.database, checkText(runId, 'runId'));
    if (!row) throw new RunNotFoundError(runId);
    return toRunDescription(row, this.#surroundings.payloads);
  }

  /**
   * The recorded steps of a run, in the order in which their results came. A step that is being executed is not among them.
   *
   * @throws RunNotFoundError
   */
  async steps(runId: string): Promise<StepDescription[]> {
    const histories = await loadHistories(this.#surroundings.database, [checkText(runId, 'runId')]);
    const { steps } = histories.get(runId)!;
    if (steps.length === 0) await this.status(runId);
    return steps.map((step) => toStepDescription(step, this.#surroundings.payloads));
  }

  /**
   * A page of the runs that meet a filter, newest first; all runs without one.
   *
   * A listing read page by page shows every run once that was there when the first page was read and met the filter all along, and none twice,
   * however many start, end or are deleted meanwhile. A run that comes to meet the filter, or ceases to, may be shown or not.
   *
   * @throws InvalidInputError when something of the filter is not usable, or the cursor belongs to another filter
   * @throws QueryTimeoutError after 15 seconds
   * @example
   * let cursor: string | undefined;
   * do {
   *   const page = await client.list({ name: 'order', status: 'failed', tags: { customer: '7' }, cursor });
   *   for (const run of page.runs) console.log(run.runId, run.failedStep, run.errorCode);
   *   cursor = page.cursor;
   * } while (cursor);
   */
  async list(filter: ListOptions = {}): Promise<RunPage> {
    return listPage(this.#surroundings.database, filter);
  }

  /**
   * How many runs meet a filter, exactly: PostgreSQL looks at each of them, so a count of millions takes seconds.
   *
   * @throws InvalidInputError
   * @throws QueryTimeoutError after 15 seconds
   * @example const failed = await client.count({ status: 'failed', finishedAfter: yesterday });
   */
  async count(filter: RunFilter = {}): Promise<number> {
    return countRuns(this.#surroundings.database, checkRunFilter(filter, 'filter'));
  }

  /**
   * What has gone wrong lately: the runs that have failed since, grouped by workflow, error code or failed step, or several of them. The most frequent
   * group comes first.
   *
   * @param options.since how long ago (`'1h'`, milliseconds), or a Date
   * @throws InvalidInputError
   * @throws QueryTimeoutError after 15 seconds
   * @example
   * for (const group of await client.failures({ since: '1 day', groupBy: ['workflow', 'errorCode'] })) {
   *   console.log(group.count, group.workflow, group.errorCode, group.exampleRunId);
   * }
   */
  async failures(options: FailuresOptions): Promise<FailureGroup[]> {
    return failureGroups(this.#surroundings.database, options, this.#surroundings.now());
  }

  /**
   * Asks a run to stop. Its open steps and waits reject with WorkflowCancelledError, `catch` and `finally` may still run steps for 30 seconds,
   * and it ends `cancelled` even if its code swallows the error. A run that has never been executed is cancelled at once; one that has ended
   * stays as it is. Resolves when the request is durable (in a transaction of the caller: it is, and the run hears of it, when that commits).
   *
   * @throws RunNotFoundError
   */
  async cancel(runId: string, options: CancelOptions = {}): Promise<void> {
    refuseInRun('cancel');
    const id = checkText(runId, 'runId');
    const given = checkOptions(options, 'options', ['actor', 'reason', 'manager']);
    const actor = given.actor === undefined ? undefined : checkText(given.actor, 'options.actor');
    const reason = given.reason === undefined ? undefined : checkText(given.reason, 'options.reason');
    const payload = encode({ ...(actor === undefined ? {} : { actor }), ...(reason === undefined ? {} : { reason }) }, 'options');
    const { database, payloads } = this.#surroundings;
    const cancelled = payloads.encodeError(new WorkflowCancelledError(id, reason), id);
    const joined = this.#transactions.find(given.manager);
    if (joined) return this.cancelIn(joined, id, payload, cancelled);
    const found = await requestCancel(database, id, payload, cancelled);
    if (!found) throw new RunNotFoundError(id);
    this.announceCancel(id, found);
  }

  private async cancelIn(joined: JoinedTransaction, id: string, payload: string, cancelled: string): Promise<void> {
    const { database } = this.#surroundings;
    const { manager, transaction, argument } = joined;
    await this.#transactions.verify(joined);
    let status: RunStatus | undefined;
    const isOwn = transaction.holds(id);
    try {
      status = await sendCancelInTransaction(database, manager, id, payload);
      if (isOwn && status && !isTerminal(status)) await cancelInTransaction(database, manager, id, cancelled);
    } catch (error) {
      throw callerError(error, [id], argument);
    }
    if (status === undefined) throw new RunNotFoundError(id);
    const seen = status;
    if (isTerminal(seen)) return;
    transaction.afterCommit(() => {
      if (isOwn) return this.#surroundings.endedUnstarted(id);
      // Nobody waits for it: whatever goes wrong, the inbox sweep finds the request.
      void announceCancel(database, id, seen, cancelled).then(
        (found) => this.announceCancel(id, found),
        () => undefined,
      );
    });
  }

  private announceCancel(id: string, { status, key, parent }: CancelRequested): void {
    if (!key) return;
    if (parent !== undefined) void this.#sender.tell(parent);
    if (status === 'pending') this.#surroundings.due([key], undefined);
    else if (status === 'running') this.#surroundings.messaged(id);
    else if (isTerminal(status)) this.#surroundings.endedUnstarted(id);
  }

  /**
   * Sends a signal to a run. It is kept until the run takes it; when the promise resolves it is durable (with `manager`: when the transaction commits).
   *
   * @throws InvalidInputError, SerializationError, PayloadTooLargeError
   * @throws RunNotFoundError, RunEndedError
   * @example await client.signal(runId, approved, { by: 'ann' }, { idempotencyKey: request.id });
   */
  signal<P>(runId: string, signal: SignalDefinition<P>, ...args: SignalArguments<P, SendOptions>): Promise<void>;
  async signal(runId: string, signal: unknown, payload?: unknown, options: SendOptions = {}): Promise<void> {
    refuseInRun('signal');
    await this.#sender.signal(runId, signal, payload, options);
  }

  /**
   * Resumes whichever run waits for the hook.
   *
   * @throws InvalidInputError, SerializationError, PayloadTooLargeError
   * @throws HookNotFoundError when no run has that token; RunEndedError when the run has ended
   */
  async resumeHook(token: string, payload?: unknown): Promise<void> {
    refuseInRun('resumeHook');
    await this.#sender.resumeHook(token, payload);
  }

  private async startRun(run: NewRun, options: StartOptions): Promise<WorkflowHandle> {
    const { journal, hub } = this.#surroundings;
    if (journal.isFull) await journal.ready();
    const immediate = run.delayMs === null && run.startAt === null;
    const slot = immediate ? this.#surroundings.reserve(run) : undefined;
    let committed: Committed;
    try {
      committed = await this.submit(run, slot !== undefined);
    } catch (error) {
      slot?.release();
      // The worker lost its session between the two: the run was not created, and need not be its.
      if ((error as { code?: unknown }).code === 'FENCED') return this.startRun(run, options);
      throw error;
    }
    if (committed.outcome !== 'done') {
      slot?.release();
      if (committed.outcome === 'exists') this.checkConflict(run, committed.name, options);
      return new WorkflowHandle(run.id, false, this, hub, undefined);
    }
    if (slot) {
      const { id, name, version, queue, input } = run;
      const deadlineAt = typeof run.timeoutMs === 'number' ? committed.at + run.timeoutMs : null;
      const fresh = { epoch: 1, startedAt: committed.at, wakeCount: 0, historyBytes: 0, losses: 0, parent: null, deadlineAt };
      slot.execute({ id, name, version, queue, input, ...fresh });
    } else {
      this.announce([run]);
    }
    return new WorkflowHandle(run.id, true, this, hub, undefined);
  }

  private submit(run: NewRun, owned: boolean): Promise<Committed> {
    return new Promise((resolve, reject) => {
      this.#surroundings.journal.submit({ kind: 'start', runId: run.id, run, owned }, resolve, reject);
    });
  }

  private async startIn(joined: JoinedTransaction, runs: readonly NewRun[], options: readonly StartOptions[]): Promise<WorkflowHandle[]> {
    await this.#transactions.verify(joined);
    const ids = options.some(({ id }) => id !== undefined) ? 'given' : 'generated';
    const { created, existing } = await this.#starter.start(joined, runs, ids, (started) => this.announce(started));
    const seen = new Set<string>();
    return runs.map((run, index) => {
      const isNew = created.has(run.id) && !seen.has(run.id);
      seen.add(run.id);
      if (!isNew) this.checkConflict(run, existing.get(run.id) ?? run.name, options[index]!);
      return new WorkflowHandle(run.id, isNew, this, this.#surroundings.hub, joined.transaction);
    });
  }

  private checkConflict(run: NewRun, existingName: string, options: StartOptions): void {
    if (options.onConflict === 'reject' || existingName !== run.name) throw new RunAlreadyExistsError(run.id, existingName);
  }

  /** Tells who may execute these runs that they are, or will be, due. */
  private announce(runs: readonly NewRun[]): void {
    const now = this.#surroundings.now();
    const due = runs.filter((run) => run.delayMs === null && (run.startAt === null || run.startAt <= now));
    const wakeTimes = runs.filter((run) => !due.includes(run)).map((run) => run.startAt ?? now + run.delayMs!);
    this.#surroundings.due(due, wakeTimes.length === 0 ? undefined : Math.min(...wakeTimes));
  }
}

/** A copy of them, so that what is checked is what is started. */
function checkInputs<I>(inputs: readonly I[]): I[] {
  try {
    if (!Array.isArray(inputs)) throw new InvalidInputError('inputs', 'must be an array');
    for (let index = 0; index < inputs.length; index++) {
      if (!(index in inputs)) throw new InvalidInputError(`inputs[${index}]`, 'is missing');
    }
    return [...(inputs as readonly I[])];
  } catch (error) {
    if (error instanceof InvalidInputError) throw error;
    throw new InvalidInputError('inputs', 'cannot be read', { cause: error });
  }
}

/** What run() does outside a step it does in every pass. */
function refuseInRun(method: string): void {
  const scope = scopes.getStore();
  if (scope && !scope.step && !scope.pass.isClosed) throw new ClientInRunError(method, scope.pass.run.id);
}
