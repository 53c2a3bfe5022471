import { RunNotFoundError } from '../../core/errors/index.js';
import { checkText } from '../../core/ids.js';
import type { Payloads } from '../../core/payloads.js';
import type { RunStatus, ShownStatus } from '../../core/run.js';
import { countRuns } from '../../store/sql/list-runs.js';
import type { Database } from '../../store/database.js';
import { throughReplica } from '../../store/read-replica.js';
import { describeRun, readShownStatus } from '../../store/sql/read-runs.js';
import { toRunDescription, type RunDescription, type StepDescription } from './describe.js';
import { checkFollow, type FollowOptions } from '../follow-options.js';
import { runNotFound } from '../follow.js';
import type { WorkflowHealth } from './health.js';
import { healthOf } from './read-health.js';
import { exportHistory, type ExportedHistory } from './exported-history.js';
import { historyPage, type HistoryOptions, type HistoryPage } from './history.js';
import { failureGroups, listPage, type FailureGroup, type FailuresOptions, type ListOptions, type RunPage } from './listing.js';
import { stepsOf, type StepsOptions } from './steps.js';
import { checkRunFilter, type RunFilter } from './run-filter.js';
import { streamsOf, type StreamDescription } from './streams.js';
import type { ClientDependencies } from '../dependencies.js';

/** Queries of the client. They change no run. */
export class RunQueries {
  readonly #dependencies: ClientDependencies;
  /** The database, or its read replica when the module has one. */
  readonly #reader: Database;

  /** @internal */
  constructor(dependencies: ClientDependencies) {
    this.#dependencies = dependencies;
    const { database, replica } = dependencies;
    this.#reader = replica ? throughReplica(database, replica) : database;
  }

  /**
   * Returns queries that decode payloads in another way.
   *
   * @internal
   */
  withPayloads(payloads: Payloads): RunQueries {
    return new RunQueries(Object.create(this.#dependencies, { payloads: { value: payloads } }) as ClientDependencies);
  }

  /**
   * Executes a query about one run. A replica that lags may not have the run yet, so a run that it
   * does not have is looked up on the primary.
   */
  async #read<T>(work: (database: Database) => Promise<T>): Promise<T> {
    try {
      return await work(this.#reader);
    } catch (error) {
      if (!(error instanceof RunNotFoundError) || !this.#dependencies.replica) throw error;
      return work(this.#dependencies.database);
    }
  }

  /**
   * Returns the status of a run. `ctx.continueAsNew` ends a run and starts another run that
   * continues it. After that, every call with the ended run's id selects the run that continues it.
   *
   * @param options.follow `false` selects the run with exactly this id, not the run that continues
   *   it. The status of a continued run is `continued` (default: `true`)
   * @throws InvalidInputError, RunNotFoundError
   * @example
   * await client.status('subscription-7'); // 'waiting': the current run
   * await client.status('subscription-7', { follow: false }); // 'continued'
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
   * Returns all details of a run except its steps. If another run continues the run, returns the
   * details of that other run, and `runId` in the result is its id.
   *
   * @param options.follow `false` selects the run with exactly this id, not the run that continues
   *   it (default: `true`)
   * @throws InvalidInputError, RunNotFoundError
   * @example
   * const { status, waits, blockedDeployments } = await client.describe('order-7');
   */
  async describe(runId: string, options: FollowOptions = {}): Promise<RunDescription> {
    const { follow } = checkFollow(options);
    const id = checkText(runId, 'runId');
    const row = await this.#read(async (database) => {
      const found = await describeRun(database, id, follow ? 'current' : 'own');
      if (!found) throw await runNotFound(database, id);
      return found;
    });
    return toRunDescription(row, this.#dependencies.payloads);
  }

  /**
   * Returns the recorded steps of a run, in the order in which their results were recorded. A step
   * that is executing is not included. Without `limit`, returns all steps, up to 10,000 steps or 64
   * MiB of results.
   *
   * @param options.limit steps per page, from 1 to 10,000. A page ends early at 64 MiB of results
   *   (default: all steps)
   * @param options.after `seq` of the last step of the previous page (default: 0)
   * @param options.follow `false` selects the run with exactly this id, not the run that continues
   *   it (default: `true`)
   * @throws InvalidInputError also when a run has too many steps for a call without `limit`
   * @throws RunNotFoundError
   * @example
   * let after = 0;
   * for (let page; (page = await client.steps(runId, { after, limit: 500 })).length > 0; ) {
   *   for (const { stepKey, status } of page) console.log(stepKey, status);
   *   after = page.at(-1)!.seq;
   * }
   */
  async steps(runId: string, options: StepsOptions = {}): Promise<StepDescription[]> {
    return this.#read((database) => stepsOf({ database, payloads: this.#dependencies.payloads }, runId, options));
  }

  /**
   * Returns everything that a replay of a run needs: its input, steps, open waits and end, with
   * all payloads. `replayHistory` of `nestjs-durable/testing` compares it with the deployed code.
   *
   * @param options.follow `false` exports the run with exactly this id, not the run that continues
   *   it (default: `true`)
   * @throws InvalidInputError when the run has more than 10,000 steps or 64 MiB of results, which
   *   only the command `export` can write; and when the run is a member of a batch, because the
   *   batch has the steps
   * @throws RunNotFoundError
   * @example
   * writeFileSync('order-7.json', JSON.stringify(await client.exportHistory('order-7')));
   */
  async exportHistory(runId: string, options: FollowOptions = {}): Promise<ExportedHistory> {
    return this.#read((database) => exportHistory(database, runId, options));
  }

  /**
   * Returns a page of a run's history, oldest entries first. Entries record the start, results of
   * steps and failed attempts, signals sent and taken, hooks, children, cancel requests, and lost
   * workers. The last entries show what the run waits for now, or how the run ended or was
   * continued.
   *
   * @param options.cursor the `cursor` of the previous page (default: the first page)
   * @param options.limit entries per page, from 1 to 1,000 (default: 100)
   * @param options.follow `false` selects the run with exactly this id, not the run that continues
   *   it (default: `true`)
   * @throws InvalidInputError, RunNotFoundError
   * @throws QueryTimeoutError after 15 seconds
   * @example
   * const { entries, cursor } = await client.history(runId, { limit: 50 });
   * for (const { at, kind, stepKey, name } of entries) console.log(at, kind, stepKey ?? name);
   */
  async history(runId: string, options: HistoryOptions = {}): Promise<HistoryPage> {
    return this.#read((database) => historyPage(database, this.#dependencies.payloads, runId, options));
  }

  /**
   * Lists the streams that exactly this run has written to, by name.
   *
   * @throws InvalidInputError, RunNotFoundError
   * @example
   * for (const { name, length, state } of await client.streams(runId)) {
   *   console.log(name, length, state);
   * }
   */
  async streams(runId: string): Promise<StreamDescription[]> {
    return this.#read((database) => streamsOf(database, runId));
  }

  /**
   * Reports the health of the module as this process sees it: the database, this worker, the other
   * processes that execute runs, and the backlog. Needs only a few lookups, even when there are
   * many runs. Never rejects because the database is unavailable.
   *
   * @example
   * const { database, unregistered, oldestDueAt } = await client.health();
   */
  async health(): Promise<WorkflowHealth> {
    const dependencies = this.#dependencies;
    return healthOf(dependencies.database, dependencies.worker(), dependencies.direct(), dependencies.replica);
  }

  /**
   * Returns the metrics of the module in the text format of Prometheus (version 0.0.4): counters
   * and histograms of this process, and gauges from the database, such as the depth of each queue.
   * The gauges are at most five seconds old, however often this method is called. Never rejects:
   * `nestjs_durable_database_up` is 0 when the database does not answer. docs/observability.md
   * lists the metrics.
   *
   * @example
   * const text = await client.metrics();
   */
  async metrics(): Promise<string> {
    return this.#dependencies.metricsReader.text();
  }

  /**
   * Lists the runs that match a filter, newest first, one page at a time. Without a filter, lists
   * all runs.
   *
   * A run that exists at the first page and matches the filter until the last page appears on
   * exactly one page. No run appears twice, even when runs start, end or are deleted in the
   * meantime. A run that matches the filter only part of the time may or may not appear.
   *
   * @throws InvalidInputError when a part of the filter is invalid, or the cursor belongs to
   *   another filter
   * @throws QueryTimeoutError after 15 seconds
   * @example
   * let cursor: string | undefined;
   * do {
   *   const page = await client.list({ name: 'order', status: 'failed', cursor });
   *   for (const run of page.runs) console.log(run.runId, run.failedStep, run.errorCode);
   *   cursor = page.cursor;
   * } while (cursor);
   */
  async list(filter: ListOptions = {}): Promise<RunPage> {
    return listPage(this.#reader, filter);
  }

  /**
   * Counts the runs that match a filter. The count is exact: PostgreSQL reads every matching run,
   * so counting millions takes seconds.
   *
   * @throws InvalidInputError
   * @throws QueryTimeoutError after 15 seconds
   * @example
   * const failed = await client.count({ status: 'failed', finishedAfter: yesterday });
   */
  async count(filter: RunFilter = {}): Promise<number> {
    return countRuns(this.#reader, checkRunFilter(filter, 'filter', 'left out'));
  }

  /**
   * Groups recently failed runs by workflow, version, error code, failed step, hour, or several of
   * these. The largest group comes first.
   *
   * @param options.since length of the period before now (milliseconds, or a duration such as
   *   `'5m'`), or the Date at which the period begins
   * @param options.groupBy `'workflow'`, `'version'`, `'errorCode'`, `'failedStep'`, `'hour'`
   *   (UTC), or a list of these
   * @param options.limit maximum number of groups, from 1 to 1,000 (default: 50)
   * @throws InvalidInputError
   * @throws QueryTimeoutError after 15 seconds
   * @example
   * const groups = await client.failures({ since: '1 day', groupBy: ['workflow', 'errorCode'] });
   * for (const { count, workflow, errorCode } of groups) console.log(count, workflow, errorCode);
   */
  async failures(options: FailuresOptions): Promise<FailureGroup[]> {
    return failureGroups(this.#reader, options, this.#dependencies.now());
  }
}
