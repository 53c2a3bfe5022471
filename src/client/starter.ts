import { InvalidInputError, RunAlreadyExistsError } from '../core/errors/index.js';
import { isPromise } from '../core/async.js';
import { dueRun, type NewRun } from '../core/run.js';
import { validate } from '../core/standard-schema.js';
import { sendWithin, tracer } from '../core/tracing.js';
import type { Committed, Transition } from '../core/transition.js';
import { toCallerError } from '../store/caller-database.js';
import type { CallerTransactions, JoinedTransaction } from './transactions/caller-transactions.js';
import type { CallerTransaction } from './transactions/caller-transaction.js';
import type { WorkflowHandle } from './handle.js';
import { checkStart, toNewRun, type StartOptions } from './start-options.js';
import type { ClientDependencies } from './dependencies.js';
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

  /** Starts a run. Executes it in this process at once when the worker admits another run. */
  start(run: NewRun, options: StartOptions): Promise<WorkflowHandle> {
    if (!tracer) return this.create(run, options);
    const span = tracer.send('start', run.id, run.name);
    return sendWithin(span, (traceContext) => this.create({ ...run, traceContext }, options));
  }

  private async create(run: NewRun, options: StartOptions): Promise<WorkflowHandle> {
    const { journal } = this.dependencies;
    if (journal.isFull) await journal.ready();
    const immediate = run.delayMs === null && run.startAt === null;
    const reservation = immediate ? this.dependencies.reserve(run) : undefined;
    let committed: Committed;
    try {
      committed = await this.submit({ kind: 'start', runId: run.id, run, owned: reservation !== undefined });
    } catch (error) {
      reservation?.release();
      // The worker lost its session after it admitted the run, so the run was not created. Start
      // the run again, without the reservation of the lost session.
      if ((error as { code?: unknown }).code === 'FENCED') return this.create(run, options);
      throw error;
    }
    if (committed.outcome !== 'done') {
      reservation?.release();
      if (committed.outcome === 'exists') this.checkConflict(run, committed.name, options);
      return this.handles(run.id, false, undefined);
    }
    this.dependencies.metrics.runStarted(run.name);
    const handle = this.handles(run.id, true, undefined, this.dependencies.hub.turn);
    if (reservation) {
      const { id, name, version, queue, input, traceContext = null } = run;
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
      };
      reservation.execute({ id, name, version, queue, input, ...fresh });
    } else {
      await this.announce([run]);
    }
    return handle;
  }

  private submit(start: Transition): Promise<Committed> {
    return new Promise((resolve, reject) => {
      const refused = (error: Error): void => reject(toCallerError(error));
      this.dependencies.journal.submit(start, resolve, refused);
    });
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
    const { created, existing } = await this.transactional.start(joined, runs, ids, (started) => {
      for (const { name } of started) this.dependencies.metrics.runStarted(name);
      void this.announce(started);
    });
    const seen = new Set<string>();
    return runs.map((run, index) => {
      const isNew = created.has(run.id) && !seen.has(run.id);
      seen.add(run.id);
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
