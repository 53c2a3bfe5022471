import type { EntityManager } from 'typeorm';

import { checkOptions } from '../../core/check-options.js';
import { toTimestamp } from '../../core/duration.js';
import { InvalidInputError, ScheduleAlreadyExistsError, ScheduleDeclaredError, ScheduleNotFoundError } from '../../core/errors/index.js';
import { checkText } from '../../core/ids.js';
import { checkPolicies, checkTiming, refuseEnded } from '../../core/schedules/check-timing.js';
import { validate } from '../../core/standard-schema.js';
import type { Startable } from '../../core/workflow-types.js';
import { toCallerError } from '../../store/caller-database.js';
import type { ScheduleRow } from '../../store/schedule-row.js';
import {
  deleteSchedule,
  inScheduleTransaction,
  insertSchedule,
  limitLockWait,
  lockSchedule,
  readSchedule,
  updateSchedules,
  type LockedSchedule,
  type SqlRunner,
} from '../../store/sql/schedules.js';
import { assertOutsideRun } from '../assert-outside-run.js';
import type { ClientDependencies } from '../dependencies.js';
import type { WorkflowHandle } from '../handle.js';
import { checkStart } from '../start-options.js';
import type { Starter } from '../starter.js';
import { callerError } from '../transactions/caller-errors.js';
import type { CallerTransactions } from '../transactions/caller-transactions.js';
import { describeSchedule, type ScheduleDescription } from './schedule-description.js';
import {
  checkCreateOptions,
  checkScheduleName,
  checkUpdateOptions,
  type BackfillOptions,
  type CreateScheduleOptions,
  type PauseScheduleOptions,
  type TriggerScheduleOptions,
  type UpdateScheduleOptions,
} from './schedule-options.js';
import { ScheduleQueries } from './schedule-queries.js';
import { newScheduleRow, paused, resumed, timesOf, updated } from './schedule-state.js';
import { makeStart, scheduledRunId, triggeredRunId, withStarted, type ScheduledStart } from './schedule-starts.js';

/** Largest number of due times of one `backfill`. */
const MAX_BACKFILL = 1_000;

/**
 * Schedules that start runs at given times. A process with a worker that has the workflow starts
 * the runs, one for each due time. See docs/schedules.md.
 */
export class Schedules extends ScheduleQueries {
  readonly #dependencies: ClientDependencies;
  readonly #starter: Starter;
  readonly #transactions: CallerTransactions;

  /** @internal */
  constructor(dependencies: ClientDependencies, starter: Starter, transactions: CallerTransactions) {
    super(dependencies);
    this.#dependencies = dependencies;
    this.#starter = starter;
    this.#transactions = transactions;
  }

  /**
   * Creates a schedule.
   *
   * @param name name of the schedule, of at most 200 characters. The ids of its runs begin with it
   * @param options workflow and input of the runs, the times, and the rules for overlaps and
   *   outages
   * @returns the schedule, with its first due time
   * @throws ScheduleAlreadyExistsError when a schedule has the name
   * @throws InvalidInputError when an argument is invalid: a cron expression that is never due, an
   *   unknown time zone, or an input that does not fit the schema
   * @throws SerializationError, PayloadTooLargeError when the input cannot be stored
   * @throws WorkflowNotFoundError when `workflow` is a class that is not a workflow
   * @example
   * await client.schedules.create(`report-${tenant.id}`, {
   *   workflow: ReportWorkflow,
   *   cron: '0 8 * * 1-5',
   *   timezone: tenant.timezone,
   *   input: { tenant: tenant.id },
   * });
   */
  async create<W extends Startable>(name: string, options: CreateScheduleOptions<W>): Promise<ScheduleDescription> {
    assertOutsideRun('schedules.create');
    const { payloads, database } = this.#dependencies;
    const checked = checkScheduleName(name);
    const given = checkCreateOptions(options);
    const now = this.#dependencies.now();
    const { run, schema } = checkStart(given.workflow, given.tags === undefined ? {} : { tags: given.tags }, this.#dependencies);
    const timing = checkTiming(given, 'options', now);
    refuseEnded(timing, 'options', now);
    const policies = checkPolicies(given, 'options');
    const joined = this.#transactions.find(given.manager);
    const value = schema ? await validate(schema, given.input, 'options.input') : given.input;
    const input = payloads.encode(value, 'options.input', checked, 'input');
    const row = newScheduleRow({ name: checked, workflow: run.name, timing, policies, input, tags: run.tags }, now);
    const insert = async (manager: SqlRunner): Promise<void> => {
      if (!(await insertSchedule(database, manager, row))) throw new ScheduleAlreadyExistsError(checked);
    };
    if (!joined) {
      await this.#inTransaction(insert);
      this.#note(row);
      return describeSchedule(row);
    }
    await this.#transactions.verify(joined);
    try {
      await insert(joined.manager);
    } catch (error) {
      throw error instanceof ScheduleAlreadyExistsError ? error : callerError(error, [], joined.argument);
    }
    joined.transaction.afterCommit(() => this.#note(row));
    return describeSchedule(row);
  }

  /**
   * Changes a schedule. New times count from now: due times that have passed start no more runs.
   * Runs that were started do not change.
   *
   * @throws InvalidInputError, ScheduleNotFoundError, SerializationError, PayloadTooLargeError
   * @throws ScheduleDeclaredError when the schedule comes from `@Schedule`
   * @example await client.schedules.update('acme-report', { cron: '0 9 * * *' });
   */
  async update(name: string, options: UpdateScheduleOptions): Promise<ScheduleDescription> {
    assertOutsideRun('schedules.update');
    const checked = checkScheduleName(name);
    const given = checkUpdateOptions(options);
    const input = 'input' in given ? await this.#inputFor(checked, given.input) : undefined;
    return this.#change(checked, ({ row, now }) => {
      if (row.definition !== null) throw new ScheduleDeclaredError(checked);
      const tags = given.tags === undefined ? {} : { tags: checkStart(row.workflow, { tags: given.tags }, this.#dependencies).run.tags };
      return { ...updated(row, given, now), ...tags, ...(input === undefined ? {} : { input }), updatedAt: now };
    });
  }

  /**
   * Pauses a schedule. Due times during the pause start no runs, and a run that waits for the end
   * of other runs is dropped. Runs that were started continue.
   *
   * @param options.until moment at which the schedule resumes by itself (default: never)
   * @param options.reason reason, which `get` and `list` show (default: none)
   * @throws InvalidInputError, ScheduleNotFoundError
   * @example await client.schedules.pause('acme-report', { until: monday, reason: 'holidays' });
   */
  async pause(name: string, options: PauseScheduleOptions = {}): Promise<ScheduleDescription> {
    assertOutsideRun('schedules.pause');
    const checked = checkScheduleName(name);
    const { until, reason } = checkOptions(options, 'options', ['until', 'reason']);
    const end = until === undefined ? null : toTimestamp(until, 'options.until');
    if (end !== null && end <= this.#dependencies.now()) throw new InvalidInputError('options.until', 'must be in the future');
    const why = reason === undefined ? null : checkText(reason, 'options.reason');
    return this.#change(checked, ({ row, now }) => paused(row, now, end, why));
  }

  /**
   * Resumes a paused schedule with its next due time. Does nothing when it is not paused.
   *
   * @throws InvalidInputError, ScheduleNotFoundError
   * @throws ScheduleDeclaredError when no process declares the schedule any more
   */
  async resume(name: string): Promise<ScheduleDescription> {
    assertOutsideRun('schedules.resume');
    const checked = checkScheduleName(name);
    return this.#change(checked, ({ row, now }) => {
      if (row.isUndeclared) throw new ScheduleDeclaredError(checked);
      return row.pausedAt === null ? row : { ...resumed(row, now), updatedAt: now };
    });
  }

  /**
   * Starts a run of a schedule now, also while the schedule is paused or another run has not ended.
   * The next due time does not change.
   *
   * @param options.input input of this run (default: the input of the schedule)
   * @returns the handle of the run
   * @throws InvalidInputError, ScheduleNotFoundError, SerializationError, PayloadTooLargeError
   * @example await (await client.schedules.trigger('acme-report')).result();
   */
  async trigger(name: string, options: TriggerScheduleOptions = {}): Promise<WorkflowHandle> {
    assertOutsideRun('schedules.trigger');
    const checked = checkScheduleName(name);
    const given = checkOptions(options, 'options', ['input']);
    const input = 'input' in given ? await this.#inputFor(checked, given.input) : undefined;
    const [handle] = await this.#startFor(checked, ({ row, now }) => {
      const value = this.#dependencies.payloads.decode(input ?? row.input, 'input');
      return [makeStart(this.#dependencies, row, triggeredRunId(row.name, now), now, value)];
    });
    return handle!;
  }

  /**
   * Starts a run for each due time of a past period that has no run yet, at most 1,000, whatever
   * the rule for overlaps is. A repeated call starts nothing twice.
   *
   * @param options.from beginning of the period, inclusive
   * @param options.to end of the period, exclusive and not in the future (default: now)
   * @returns ids of the runs that this call has started, oldest due time first
   * @throws InvalidInputError, ScheduleNotFoundError
   * @example
   * const lost = { from: new Date('2026-11-01'), to: new Date('2026-11-08') };
   * const runIds = await client.schedules.backfill('acme-report', lost);
   */
  async backfill(name: string, options: BackfillOptions): Promise<string[]> {
    assertOutsideRun('schedules.backfill');
    const checked = checkScheduleName(name);
    const given = checkOptions(options, 'options', ['from', 'to']);
    const now = Math.floor(this.#dependencies.now());
    const from = toTimestamp(given.from, 'options.from');
    const to = given.to === undefined ? now : toTimestamp(given.to, 'options.to');
    if (to <= from) throw new InvalidInputError('options.to', 'must be after options.from');
    if (to > now) throw new InvalidInputError('options.to', 'must not be in the future');
    const handles = await this.#startFor(checked, ({ row }) => {
      const due = timesOf(row).previous(MAX_BACKFILL + 1, from, to);
      if (due.length > MAX_BACKFILL)
        throw new InvalidInputError('options', `must be a period with at most ${MAX_BACKFILL.toLocaleString('en-US')} due times`);
      return due.map((dueAt) => {
        const input = this.#dependencies.payloads.decode(row.input, 'input');
        return makeStart(this.#dependencies, row, scheduledRunId(row.name, dueAt), dueAt, input);
      });
    });
    return handles.filter(({ created }) => created).map(({ runId }) => runId);
  }

  /**
   * Deletes a schedule. Its runs continue.
   *
   * @throws InvalidInputError, ScheduleNotFoundError
   * @throws ScheduleDeclaredError when a process still declares the schedule
   */
  async delete(name: string): Promise<void> {
    assertOutsideRun('schedules.delete');
    const checked = checkScheduleName(name);
    await this.#inTransaction(async (manager) => {
      const { row } = await this.#lock(manager, checked);
      if (row.definition !== null && !row.isUndeclared) throw new ScheduleDeclaredError(checked);
      await deleteSchedule(this.#dependencies.database, manager, checked);
    });
  }

  /** Checks an input by the schema of the schedule's workflow, and encodes it. */
  async #inputFor(name: string, input: unknown): Promise<string> {
    const row = await readSchedule(this.#dependencies.database, name);
    if (!row) throw new ScheduleNotFoundError(name);
    const { schema } = checkStart(this.#dependencies.workflowClass(row.workflow) ?? row.workflow, {}, this.#dependencies);
    const value = schema ? await validate(schema, input, 'options.input') : input;
    return this.#dependencies.payloads.encode(value, 'options.input', name, 'input');
  }

  async #startFor(name: string, makeStarts: (locked: LockedSchedule) => ScheduledStart[]): Promise<WorkflowHandle[]> {
    const start = async (manager: EntityManager): Promise<WorkflowHandle[]> => {
      await limitLockWait(manager);
      const locked = await this.#lock(manager, name);
      const starts = makeStarts(locked);
      const joined = this.#transactions.find(manager)!;
      const [runs, options] = [starts.map(({ run }) => run), starts.map((start) => start.options)];
      const handles = starts.length === 0 ? [] : await this.#starter.startIn(joined, runs, options);
      const created = starts.filter((_, index) => handles[index]!.created);
      const { row, activeRuns } = locked;
      const { openRuns } = withStarted(row, activeRuns, created);
      await updateSchedules(this.#dependencies.database, manager, [{ ...row, openRuns }], 'fired');
      return handles;
    };
    try {
      return await this.#dependencies.transaction(start);
    } catch (error) {
      throw toCallerError(error);
    }
  }

  async #change(name: string, change: (locked: LockedSchedule) => ScheduleRow): Promise<ScheduleDescription> {
    const row = await this.#inTransaction(async (manager) => {
      const changed = change(await this.#lock(manager, name));
      await updateSchedules(this.#dependencies.database, manager, [changed], 'all');
      return changed;
    });
    this.#note(row);
    return describeSchedule(row);
  }

  async #lock(manager: SqlRunner, name: string): Promise<LockedSchedule> {
    const locked = await lockSchedule(this.#dependencies.database, manager, name);
    if (!locked) throw new ScheduleNotFoundError(name);
    return locked;
  }

  #note({ fireAt }: ScheduleRow): void {
    if (fireAt !== null) this.#dependencies.scheduled(fireAt);
  }

  #inTransaction<T>(work: (transaction: SqlRunner) => Promise<T>): Promise<T> {
    return inScheduleTransaction(this.#dependencies.database, work);
  }
}
