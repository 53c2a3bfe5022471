import { checkText } from '../../core/ids.js';
import type { RunStatus, ShownStatus } from '../../core/run.js';
import { countRuns } from '../../store/sql/list-runs.js';
import { describeRun, readShownStatus } from '../../store/sql/read-runs.js';
import { toRunDescription, type RunDescription, type StepDescription } from './describe.js';
import { checkFollow, runNotFound, type FollowOptions } from '../follow.js';
import { healthOf, type WorkflowHealth } from './health.js';
import { historyPage, type HistoryOptions, type HistoryPage } from './history.js';
import { failureGroups, listPage, type FailureGroup, type FailuresOptions, type ListOptions, type RunPage } from './listing.js';
import { stepsOf, type StepsOptions } from './steps.js';
import { checkRunFilter, type RunFilter } from './run-filter.js';
import type { ClientDependencies } from '../dependencies.js';

/** What can be asked about runs. Nothing of it changes anything. */
export class RunQueries {
  readonly #dependencies: ClientDependencies;

  /** @internal */
  constructor(dependencies: ClientDependencies) {
    this.#dependencies = dependencies;
  }

  /**
   * The status of a run. An id whose run was continued as another (`ctx.continueAsNew`) leads to the
   * run that goes on in its place, here and in every other call that takes an id.
   *
   * @param options.follow `false`: the run of this very id, which is `continued` where another one goes on in its place
   * @throws InvalidInputError, RunNotFoundError
   * @example
   * await client.status('subscription-7');                     // 'waiting': the current run
   * await client.status('subscription-7', { follow: false });  // 'continued'
   */
  status(runId: string, options?: { follow?: true }): Promise<RunStatus>;
  status(runId: string, options: FollowOptions): Promise<ShownStatus>;
  async status(runId: string, options: FollowOptions = {}): Promise<ShownStatus> {
    const { follow } = checkFollow(options);
    const status = await readShownStatus(this.#dependencies.database, checkText(runId, 'runId'), follow ? 'current' : 'own');
    if (status === undefined) throw await runNotFound(this.#dependencies.database, runId);
    return status;
  }

  /**
   * Everything that is known of a run but its steps; of a run that was continued as another, of the
   * one that goes on in its place: `runId` says which.
   *
   * @param options.follow `false`: the run of this very id
   * @throws InvalidInputError, RunNotFoundError
   * @example const { status, waits, blockedDeployments } = await client.describe('order-7');
   */
  async describe(runId: string, options: FollowOptions = {}): Promise<RunDescription> {
    const { follow } = checkFollow(options);
    const row = await describeRun(this.#dependencies.database, checkText(runId, 'runId'), follow ? 'current' : 'own');
    if (!row) throw await runNotFound(this.#dependencies.database, runId);
    return toRunDescription(row, this.#dependencies.payloads);
  }

  /**
   * The recorded steps of a run, in the order in which their results came. A step that is being executed is not among them.
   * Without a `limit` all steps are returned, up to 10,000 steps or 64 MiB of results.
   *
   * @param options.limit how many steps at most, from 1 to 10,000. A page ends early at 64 MiB of results
   * @param options.after the `seq` of the last step of the page before. Default 0
   * @param options.follow `false`: the run of this very id, also where another one goes on in its place
   * @throws InvalidInputError, also where a run has too many steps for a call without a `limit`; RunNotFoundError
   * @example
   * for (let after = 0, page; (page = await client.steps(runId, { after, limit: 500 })).length > 0; after = page.at(-1)!.seq) {
   *   for (const { stepKey, status } of page) console.log(stepKey, status);
   * }
   */
  async steps(runId: string, options: StepsOptions = {}): Promise<StepDescription[]> {
    return stepsOf(this.#dependencies, runId, options);
  }

  /**
   * Everything that happened to a run, in order, in pages: its start, what its steps gave and which attempts failed, signals sent and taken, hooks, children, requests to
   * cancel, lost workers, what it waits for now, and how it ended or was continued.
   *
   * @throws InvalidInputError, RunNotFoundError, QueryTimeoutError after 15 seconds
   * @example
   * const { entries, cursor } = await client.history(runId, { limit: 50 });
   * for (const { at, kind, stepKey, name } of entries) console.log(at, kind, stepKey ?? name);
   */
  async history(runId: string, options: HistoryOptions = {}): Promise<HistoryPage> {
    const { database, payloads } = this.#dependencies;
    return historyPage(database, payloads, runId, options);
  }

  /**
   * How the module is, as this process sees it: whether the database answers, what the worker does, which other processes execute runs, and what is due. Takes a few
   * lookups, however many runs there are; never rejects for the database.
   *
   * @example
   * const { database, unregistered, oldestDueAt } = await client.health();
   */
  async health(): Promise<WorkflowHealth> {
    return healthOf(this.#dependencies.database, this.#dependencies.worker(), this.#dependencies.direct());
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
    return listPage(this.#dependencies.database, filter);
  }

  /**
   * How many runs meet a filter, exactly: PostgreSQL looks at each of them, so a count of millions takes seconds.
   *
   * @throws InvalidInputError
   * @throws QueryTimeoutError after 15 seconds
   * @example const failed = await client.count({ status: 'failed', finishedAfter: yesterday });
   */
  async count(filter: RunFilter = {}): Promise<number> {
    return countRuns(this.#dependencies.database, checkRunFilter(filter, 'filter', 'left out'));
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
    return failureGroups(this.#dependencies.database, options, this.#dependencies.now());
  }
}
