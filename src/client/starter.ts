import { InvalidInputError, RunAlreadyExistsError } from '../core/errors/index.js';
import { isPromise } from '../core/async.js';
import { dueRun, type NewRun } from '../core/run.js';
import { validate } from '../core/standard-schema.js';
import { tracer } from '../core/tracing.js';
import type { Committed } from '../core/transition.js';
import { toCallerError } from '../store/caller-database.js';
import type { CallerTransactions, JoinedTransaction } from './transactions/caller-transactions.js';
import type { CallerTransaction } from './transactions/caller-transaction.js';
import type { WorkflowHandle } from './handle.js';
import { checkStart, toNewRun, type CheckedStart, type StartOptions } from './start-options.js';
import type { ClientDependencies } from './dependencies.js';
import { decideRequests } from '../store/decide-requests.js';
import { startTraced } from './start-traced.js';
import { TransactionalStarter } from './transactions/transactional-starter.js';

/**
 * Options of `startMany`. A function returns the options for one input, so it can also choose the
 * run's id.
 */
export type StartManyOptions<I> = Omit<StartOptions, 'id'> | ((input: I, index: number) => StartOptions);

/**
 * Maximum number of starts of one `startMany` in flight. It is ten times what one flush takes. The
 * promises and transitions of 100,000 starts in flight took about 70 MB more.
 */
const MAX_STARTING = 5_000;

/**
 * Creates the handle of a run.
 *
 * @param createdInTurn number of the event loop's turn in which this process learned that the run
 *   was created; undefined when the run existed before
 * @internal
 */
export type HandleFactory = (
  runId: string,
  created: boolean,
  transaction: CallerTransaction | undefined,
  createdInTurn?: number,
) => WorkflowHandle;

/** A start that has no outcome yet. One of the two functions receives the outcome. */
interface PendingStart {
  readonly run: NewRun;
  readonly options: StartOptions;
  created(this: void, handle: WorkflowHandle): void;
  failed(this: void, error: unknown): void;
}

/**
 * Starts runs whose arguments have been checked. Uses the journal, or the caller's transaction.
 *
 * @internal
 */
export class Starter {
  private readonly transactional: TransactionalStarter;

  constructor(
    private readonly dependencies: ClientDependencies,
    private readonly transactions: CallerTransactions,
    private readonly handles: HandleFactory,
  ) {
    this.transactional = new TransactionalStarter(dependencies.database);
  }

  /** Checks the input of a run by its schema, and starts the run. */
  startChecked(checked: CheckedStart, joined: JoinedTransaction | undefined, input: unknown): Promise<WorkflowHandle> {
    if (joined || checked.schema) return this.startValidated(checked, joined, input);
    return this.start(toNewRun(checked, input, this.dependencies.payloads, 'input'), checked.options);
  }

  private async startValidated(checked: CheckedStart, joined: JoinedTransaction | undefined, input: unknown): Promise<WorkflowHandle> {
    const value = checked.schema ? await validate(checked.schema, input, 'input') : input;
    const run = toNewRun(checked, value, this.dependencies.payloads, 'input');
    if (!joined) return this.start(run, checked.options);
    const [handle] = await this.startIn(joined, [run], [checked.options]);
    return handle!;
  }

  /**
   * Starts a run. Executes it in this process at once when the worker admits another run. Makes one
   * promise only, because each promise takes memory for as long as the start waits for its flush.
   */
  start(run: NewRun, options: StartOptions): Promise<WorkflowHandle> {
    const span = tracer?.send('start', run.id, run.name);
    const traced = span ? { ...run, traceContext: span.traceContext } : run;
    return new Promise((resolve, reject) => {
      const created = (handle: WorkflowHandle): void => {
        span?.end();
        resolve(handle);
      };
      const failed = (error: unknown): void => {
        span?.end(error);
        reject(error);
      };
      this.tryCreate({ run: traced, options, created, failed });
    });
  }

  /** Creates the run. Reports an error that is thrown at once as the outcome of the start. */
  private tryCreate(start: PendingStart): void {
    try {
      this.create(start);
    } catch (error) {
      start.failed(error);
    }
  }

  /** Creates the run, later when the journal is full. */
  private create(start: PendingStart): void {
    const { run, failed } = start;
    const { journal } = this.dependencies;
    const again = (ready: Promise<void>): void => void ready.then(() => this.create(start)).catch(failed);
    if (journal.isFull) return again(journal.ready());
    const immediate = run.delayMs === null && run.startAt === null && !run.shared && !run.batch;
    const reservation = immediate ? this.dependencies.reserve(run) : undefined;
    const stored = (committed: Committed): void => {
      try {
        this.stored(start, reservation, committed);
      } catch (error) {
        failed(error);
      }
    };
    const refused = (error: Error): void => {
      reservation?.release();
      const reason = toCallerError(error);
      // The worker lost its session after it admitted the run, so the run was not created. Start
      // the run again, without the reservation of the lost session.
      if ((reason as { code?: unknown }).code === 'FENCED') again(Promise.resolve());
      else failed(reason);
    };
    journal.submit({ kind: 'start', runId: run.id, run, owned: reservation !== undefined }, stored, refused);
  }

  private stored(
    { run, options, created, failed }: PendingStart,
    reservation: ReturnType<ClientDependencies['reserve']>,
    committed: Committed,
  ): void {
    if (committed.outcome === 'shared') {
      this.checkConflict(run, committed.name, options);
      return void this.announceShared(run, committed).then(
        () =>
          created(this.handles(committed.runId, committed.created, undefined, committed.created ? this.dependencies.hub.turn : undefined)),
        failed,
      );
    }
    if (committed.outcome === 'batched') {
      this.dependencies.metrics.runStarted(run.name);
      const member = this.handles(run.id, true, undefined, this.dependencies.hub.turn);
      const { queue, name, version, queueKey } = run;
      if (!committed.announced) return created(member);
      return void this.dependencies.due([{ queueKey, queue, name, version, ...committed.announced }]).then(() => created(member), failed);
    }
    if (committed.outcome !== 'done') {
      reservation?.release();
      if (committed.outcome === 'exists') this.checkConflict(run, committed.name, options);
      return created(this.handles(run.id, false, undefined));
    }
    this.dependencies.metrics.runStarted(run.name);
    const handle = this.handles(run.id, true, undefined, this.dependencies.hub.turn);
    if (!reservation) return void this.announce([run]).then(() => created(handle), failed);
    const { id, name, version, queue, input, traceContext = null, queueKey = null } = run;
    const deadlineAt = typeof run.timeoutMs === 'number' ? committed.at + run.timeoutMs : null;
    const fresh = {
      epoch: 1,
      startedAt: committed.at,
      wakeCount: 0,
      historyBytes: 0,
      losses: 0,
      parent: null,
      deadlineAt,
      generation: 0,
      seedId: id,
      traceContext,
      queueKey,
    };
    reservation.execute({ id, name, version, queue, input, ...fresh });
    created(handle);
  }

  /** Announces the run that counts, if the start made the run or made the run due earlier. */
  private async announceShared(run: NewRun, { runId, created, wakeAt }: Extract<Committed, { outcome: 'shared' }>): Promise<void> {
    if (created) this.dependencies.metrics.runStarted(run.name);
    if (wakeAt !== null) await this.dependencies.due([{ id: runId, queue: run.queue, name: run.name, version: run.version, wakeAt }]);
    else if (created) await this.announce([run]);
  }

  /** Checks all arguments, then starts a run for each input. */
  async startMany<I>(workflow: unknown, inputs: readonly I[], options: StartManyOptions<I>): Promise<WorkflowHandle[]> {
    const list = checkInputs(inputs);
    const { payloads } = this.dependencies;
    const checked = list.map((input, index) =>
      checkStart(workflow, typeof options === 'function' ? optionsOf(options, input, index) : options, this.dependencies),
    );
    if (typeof options !== 'function' && checked.length > 1 && checked[0]!.options.id !== undefined) {
      throw new InvalidInputError('options.id', 'would be the same for all runs: pass a function that returns the options of each run');
    }
    if (checked.length === 0) checkStart(workflow, typeof options === 'function' ? {} : options, this.dependencies);
    const each = checked.map((start) => start.options);
    const managers = new Set(each.map(({ manager }) => manager));
    if (managers.size > 1) throw new InvalidInputError('options.manager', 'must be the same for all runs');
    const joined = this.transactions.find([...managers][0]);
    const schema = checked[0]?.schema;
    const values = schema ? await Promise.all(list.map((input, index) => validate(schema, input, `inputs[${index}]`))) : list;
    const runs = checked.map((start, index) => toNewRun(start, values[index], payloads, `inputs[${index}]`));
    if (joined) return await this.startIn(joined, runs, each);
    return await this.startEach(runs, each);
  }

  /** Starts a run for each element. Begins no further start once one has failed. */
  private async startEach(runs: readonly NewRun[], options: readonly StartOptions[]): Promise<WorkflowHandle[]> {
    const handles: WorkflowHandle[] = [];
    let next = 0;
    let hasFailed = false;
    const startNext = async (): Promise<void> => {
      while (next < runs.length && !hasFailed) {
        const index = next++;
        try {
          handles[index] = await this.start(runs[index]!, options[index]!);
        } catch (error) {
          hasFailed = true;
          throw error;
        }
      }
    };
    await Promise.all(Array.from({ length: Math.min(MAX_STARTING, runs.length) }, startNext));
    return handles;
  }

  /** Starts runs in a caller's transaction. */
  startIn(joined: JoinedTransaction, runs: readonly NewRun[], options: readonly StartOptions[]): Promise<WorkflowHandle[]> {
    return startTraced(runs, (traced) => this.createIn(joined, traced, options));
  }

  private async createIn(joined: JoinedTransaction, runs: readonly NewRun[], options: readonly StartOptions[]): Promise<WorkflowHandle[]> {
    await this.transactions.verify(joined);
    const ids = options.some(({ id }) => id !== undefined) ? 'given' : 'generated';
    const { created, existing, counting } = await this.transactional.start(joined, runs, ids, (started) => {
      for (const { name } of started) this.dependencies.metrics.runStarted(name);
      void this.announce(started.filter(({ shared }) => !shared));
      // If this fails, a sweep decides the starts.
      if (started.some(({ shared }) => shared)) void decideRequests(this.dependencies.database, this.dependencies).catch(() => undefined);
    });
    const seen = new Set<string>();
    return runs.map((run, index) => {
      const isNew = created.has(run.id) && !seen.has(run.id);
      seen.add(run.id);
      const other = counting.get(run.id);
      if (other !== undefined) return this.handles(other, false, joined.transaction);
      if (!isNew) this.checkConflict(run, existing.get(run.id) ?? run.name, options[index]!);
      return this.handles(run.id, isNew, joined.transaction);
    });
  }

  private checkConflict(run: NewRun, existingName: string, options: StartOptions): void {
    if (options.onConflict === 'reject' || existingName !== run.name) throw new RunAlreadyExistsError(run.id, existingName);
  }

  /**
   * Announces runs to the processes that may execute them: now when they are due, otherwise with
   * their start time.
   */
  private announce(runs: readonly NewRun[]): Promise<void> {
    const now = this.dependencies.now();
    return this.dependencies.due(runs.map((run) => dueRun(run, now)));
  }
}

function optionsOf<I>(options: (input: I, index: number) => StartOptions, input: I, index: number): StartOptions {
  const given = options(input, index);
  if (isPromise(given))
    throw new InvalidInputError('options', 'must return the options of each run synchronously: the function returned a promise');
  return given;
}

/** Copies the inputs, so that the started values are the same as the checked ones. */
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
