import type { EntityManager } from 'typeorm';

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
import { validate } from '../core/standard-schema.js';
import type { Committed } from '../core/transition.js';
import { scopes } from '../engine/current.js';
import { requestCancel } from '../store/sql/inbox.js';
import { loadHistories } from '../store/sql/load-histories.js';
import { describeRun, readRunStatus } from '../store/sql/read-runs.js';
import { toRunDescription, toStepDescription, type RunDescription, type StepDescription } from './describe.js';
import { WorkflowHandle, type CancelOptions } from './handle.js';
import { checkStart, checkStartOptions, toNewRun, type StartOptions } from './start-options.js';
import type { ClientSurroundings } from './surroundings.js';
import { TransactionalStarter } from './transactional-starter.js';
import type { InputOf, OutputOf, StartArguments, WorkflowTarget } from './workflow-types.js';

/** How `startMany` starts its runs; an id for each by a function. */
export type StartManyOptions<I> = Omit<StartOptions, 'id'> | ((input: I, index: number) => StartOptions);

/** Starts runs, waits for them and looks at them. Inject it; it works in every process that has the module, with or without a worker. */
export class WorkflowClient {
  readonly #starter: TransactionalStarter;
  readonly #surroundings: ClientSurroundings;

  /** @internal */
  constructor(surroundings: ClientSurroundings) {
    this.#starter = new TransactionalStarter(surroundings.database);
    this.#surroundings = surroundings;
  }

  /**
   * Starts a run. When the promise resolves, the run is durable (with `manager`: when the transaction commits).
   *
   * @param workflow its class, a `workflowRef`, or its name
   * @throws InvalidInputError, SerializationError, PayloadTooLargeError when an argument is not usable; nothing is written. What the workflow's `input`
   *   schema has against the input is in the `issues` of the first
   * @throws RunAlreadyExistsError when the id belongs to a run of another workflow, or `onConflict` is `'reject'`
   * @example
   * await client.start(OrderWorkflow, order, { id: `order-${order.id}`, manager });
   */
  start(workflow: string, input?: unknown, options?: StartOptions): Promise<WorkflowHandle>;
  start<W extends WorkflowTarget>(workflow: W, ...args: StartArguments<InputOf<W>, StartOptions>): Promise<WorkflowHandle<OutputOf<W>>>;
  async start(workflow: unknown, input?: unknown, options: StartOptions = {}): Promise<WorkflowHandle<never>> {
    refuseInRun('start');
    const { payloads, deploymentId } = this.#surroundings;
    const checked = checkStart(workflow, options, deploymentId);
    const value = checked.schema ? await validate(checked.schema, input, 'input') : input;
    const run = toNewRun(checked, value, payloads, 'input');
    if (checked.options.manager !== undefined) {
      const [handle] = await this.startWith(checked.options.manager, [run], [checked.options]);
      return handle as WorkflowHandle<never>;
    }
    return (await this.startRun(run, checked.options)) as WorkflowHandle<never>;
  }

  /**
   * Starts a run for each input; all are checked before any is started. Not atomic, unless a `manager` makes it so.
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
    const { payloads, deploymentId } = this.#surroundings;
    const checked = list.map((input, index) =>
      checkStart(workflow, typeof options === 'function' ? options(input, index) : options, deploymentId),
    );
    if (typeof options !== 'function' && checked.length > 1 && checked[0]!.options.id !== undefined) {
      throw new InvalidInputError('options.id', 'would be the same for all runs: give a function that makes the options of each');
    }
    if (checked.length === 0) checkStart(workflow, typeof options === 'function' ? {} : options, deploymentId);
    const schema = checked[0]?.schema;
    const values = schema ? await Promise.all(list.map((input, index) => validate(schema, input, `inputs[${index}]`))) : list;
    const runs = checked.map((start, index) => toNewRun(start, values[index], payloads, `inputs[${index}]`));
    const each = checked.map((start) => start.options);
    const managers = new Set(each.map(({ manager }) => manager));
    if (managers.size > 1) throw new InvalidInputError('options.manager', 'must be the same for all runs');
    const [manager] = managers;
    if (manager !== undefined) return (await this.startWith(manager, runs, each)) as WorkflowHandle<never>[];
    return (await Promise.all(runs.map((run, index) => this.startRun(run, each[index]!)))) as WorkflowHandle<never>[];
  }

  /** Starts a run and waits for its result: `start` and `result` in one. */
  execute(workflow: string, input?: unknown, options?: Omit<StartOptions, 'manager'>): Promise<unknown>;
  execute<W extends WorkflowTarget>(workflow: W, ...args: StartArguments<InputOf<W>, Omit<StartOptions, 'manager'>>): Promise<OutputOf<W>>;
  async execute(workflow: unknown, input?: unknown, options: StartOptions = {}): Promise<unknown> {
    const checked = checkStartOptions(options);
    if (checked.manager !== undefined)
      throw new InvalidInputError('options.manager', 'cannot be used by execute, which would wait for itself');
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
   * Asks a run to stop. Its open steps and waits reject with WorkflowCancelledError, `catch` and `finally` may still run steps for 30 seconds,
   * and it ends `cancelled` even if its code swallows the error. A run that has never been executed is cancelled at once; one that has ended
   * stays as it is. Resolves when the request is durable.
   *
   * @throws RunNotFoundError
   */
  async cancel(runId: string, options: CancelOptions = {}): Promise<void> {
    refuseInRun('cancel');
    const id = checkText(runId, 'runId');
    const given = checkOptions(options, 'options', ['actor', 'reason']);
    const actor = given.actor === undefined ? undefined : checkText(given.actor, 'options.actor');
    const reason = given.reason === undefined ? undefined : checkText(given.reason, 'options.reason');
    const payload = encode({ ...(actor === undefined ? {} : { actor }), ...(reason === undefined ? {} : { reason }) }, 'options');
    const { database, payloads } = this.#surroundings;
    const found = await requestCancel(database, id, payload, payloads.encodeError(new WorkflowCancelledError(id, reason), id));
    if (!found) throw new RunNotFoundError(id);
    if (found.key) {
      if (found.status === 'pending') this.#surroundings.due([found.key], undefined);
      else if (found.status === 'running') this.#surroundings.messaged(id);
      else if (isTerminal(found.status)) this.#surroundings.endedUnstarted(id);
    }
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
      slot.execute({ id, name, version, queue, input, epoch: 1, startedAt: committed.at, wakeCount: 0, historyBytes: 0, losses: 0 });
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

  private async startWith(manager: EntityManager, runs: readonly NewRun[], options: readonly StartOptions[]): Promise<WorkflowHandle[]> {
    const { created, existing, transaction } = await this.#starter.start(manager, runs, (started) => this.announce(started));
    const seen = new Set<string>();
    return runs.map((run, index) => {
      const isNew = created.has(run.id) && !seen.has(run.id);
      seen.add(run.id);
      if (!isNew) this.checkConflict(run, existing.get(run.id) ?? run.name, options[index]!);
      return new WorkflowHandle(run.id, isNew, this, this.#surroundings.hub, transaction);
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
